"""Attempts to guess a password."""

from support.clients import PASSWORD


def guess(browser, login="ada", password="wrong", **more):
    return browser.post("/auth/login", data={"login": login, "password": password}, **more)


def statuses(answers):
    return [answer.status_code for answer in answers]


def known(browser, login="ada"):
    """Log in and out, so that the account recognises the browser; return it."""
    assert guess(browser, login, PASSWORD).status_code == 302
    browser.post("/auth/logout")
    return browser
