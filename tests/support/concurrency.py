"""Requests at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor


def at_once(function, arguments):
    """Call a function with each of the arguments, all at the same time; return what it returned, in their order."""
    start = threading.Barrier(len(arguments))

    def call(argument):
        start.wait(120)
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def copies(browser, number):
    """Return other browsers that have a copy of this browser's session cookie."""
    browsers = [browser.application.test_client() for _ in range(number)]
    for copy in browsers:
        copy.set_cookie("session", browser.get_cookie("session").value)
    return browsers
