"""How the tests read the application's pages."""

import html
import re

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
STRANGER = ["Log in to open this page."]  # the message for a browser that was never logged in


def is_logged_in(client):
    return client.get("/account").status_code == 200


def notes(page):
    """Return the flashed messages and the errors of the form as a whole, without the notices of the page itself."""
    found = re.findall(r'<div class="alert[^>]* role="\w+">(?:<svg.*?</svg>)?(?:<div>)?(.*?)</div>', page.text)
    return [html.unescape(note) for note in found]


def told(client):
    """Return the messages above the login form of a browser that was logged out."""
    page = client.get("/account", follow_redirects=True)
    assert page.request.path == "/auth/login"
    return notes(page)


def beside(field, page):
    """Return the error beside a field."""
    found = re.search(rf'id="{field}-help"[^>]*>(.*?)</div>', page.text, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else ""


def lines(page):
    """Return the entries of a list of sessions, devices or audit events, without their markup."""
    found = re.findall(r"<li>.*?</li>", page.text.partition("<main")[2], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>|&nbsp;", " ", line).split()) for line in found]


def hidden_token(page):
    """Return the CSRF token of a page's form."""
    return page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
