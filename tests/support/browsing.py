"""A live development server, and a real browser on it."""

import re
import shutil
import threading
from contextlib import contextmanager

import pytest
from flask import current_app
from werkzeug.serving import make_server

from app.dev import register_mock_provider
from app.dev.access import cookie_name

NOT_THE_DEVELOPERS = re.compile("^(?!dev_)")  # a cookie of the application's users


@contextmanager
def served(app, wsgi_app=None, ssl_context=None):
    """Serve the application in a thread of this process, and set its PUBLIC_URL; yield the port."""
    server = make_server("localhost", 0, wsgi_app or app, threaded=True, ssl_context=ssl_context)
    app.config["PUBLIC_URL"] = f"http{'s' if ssl_context else ''}://localhost:{server.server_port}"
    server.daemon_threads = False  # so that account deletion waits for the answers under way
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})  # how long shutdown() waits
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def live(app):
    """The address of a server that runs the application."""
    with served(app):
        register_mock_provider(app)
        yield app.config["PUBLIC_URL"]


@pytest.fixture(scope="session")
def playwright():
    from playwright.sync_api import sync_playwright  # not for those who need no browser

    with sync_playwright() as library:
        yield library


@pytest.fixture(scope="session")
def launch():
    """How to start the browser: Debian's if it is there, else Playwright's own; a sandbox can't be had as root."""
    found = shutil.which("chromium-headless-shell")
    return {"executable_path": found, "args": ["--no-sandbox"]} if found else {}


@pytest.fixture(scope="session")
def browser(playwright, launch):
    browser = playwright.chromium.launch(**launch)
    yield browser
    browser.close()


@pytest.fixture
def context_options():
    """What is particular about the browser's windows: colours, width, no scripts. Override it, or parametrize it."""
    return {}


@pytest.fixture
def page(browser, live, context_options):
    """A page of a new browser window. What it asks of another host, or what its policy forbids, fails the test."""
    context = browser.new_context(base_url=live, **context_options)
    open_development_pages(context, live)
    context.set_default_timeout(60_000)
    strangers, forbidden = [], []
    context.on("console", lambda said: "Security Policy" in said.text and forbidden.append(said.text))
    context.on("request", lambda request: request.url.startswith((live, "data:")) or strangers.append(request.url))
    yield context.new_page()
    context.close()
    assert (strangers, forbidden) == ([], [])


def open_development_pages(context, live):
    """Give a browser access to the development pages, where there are any (app/dev/access.py)."""
    if token := current_app.extensions.get("dev_token"):
        context.add_cookies([{"name": cookie_name(current_app), "value": token, "url": live}])
