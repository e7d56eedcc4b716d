"""Stories of a login with GitHub: tests/extended/test_github_login.py copies this module into a project that has one.

With `--screenshots=DIR`, the browser leaves pictures in DIR.
"""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import func, select

from app import github as guide
from app import signals
from app.accounts import personal_data
from app.extensions import db
from app.models import Identity, OAuthState, User
from support.authenticators import prove
from support.clients import PASSWORD
from support.concurrency import at_once
from support.github import CLIENT, DOWN, SECRET, GitHub, address, error, send
from support.issuer import GOING
from support.pages import is_logged_in
from support.passwords import choose
from support.sso import told
from support.waiting import PATIENCE

GitHubAccount = guide.accounts.GitHubAccount
LOG_IN, CONNECTION, METHODS = "/github/log-in", "/github/connection", "/auth/login-methods"
TOO_LATE = "This login took too long, or was started in another browser. Try again."
NO_ANSWER = "GitHub isn't responding. Try again in a minute, or log in another way."
NO_ADDRESS = "GitHub hasn't verified your primary email address. Verify it there, then try again."
NOT_BELIEVED = "Logging in with GitHub didn't work. Try again, or log in another way."
MISCONFIGURED = "Logging in with GitHub isn't set up correctly on this site. Log in another way."
CANCELLED = "You didn't finish logging in with GitHub. Try again, or log in another way."
TAKEN = "ada@example.com is already registered. Log in to that account, then connect GitHub in your settings."
OTHERS = "You're already logged in, or someone else started this login. Try again."


@pytest.fixture
def settings():
    return {"GITHUB_CLIENT_ID": CLIENT, "GITHUB_CLIENT_SECRET": SECRET}


@pytest.fixture(autouse=True)
def github(monkeypatch):
    github = GitHub()
    for name, value in {"SITE": f"{github.url}/login/oauth", "API": f"{github.url}/api", "TIMEOUT": PATIENCE}.items():
        monkeypatch.setattr(guide.client, name, value)
    yield github
    github.stop()


def set_out(browser, path=LOG_IN, **fields):
    """Press the button; return the URL at GitHub that the browser is sent to."""
    page = browser.post(path, data=fields)
    assert page.status_code == 200, page.location
    assert "<h1>Continue to GitHub</h1>" in page.text
    return GOING.fullmatch(page.headers["Refresh"])[1]


def travel(browser, github, path=LOG_IN, **fields):
    return browser.get(github.agree(set_out(browser, path, **fields)))


def names():
    return list(db.session.scalars(select(User.username).order_by(User.id)))


def connections():
    return [(row.user.username, row.github_id, row.login) for row in db.session.scalars(select(GitHubAccount))]


def connect(browser, github):
    answer = travel(browser, github, CONNECTION)
    assert "GitHub is now connected." in told(browser, answer)


def refused(browser, answer, words):
    """Check that a visitor is told so, and that nothing happened."""
    assert words in told(browser, answer)
    assert not is_logged_in(browser)


# Who it is


def test_first_login_creates_a_confirmed_account(client, github, outbox):
    assert travel(client, github).location == "/"
    [user] = User.query.all()
    assert (user.username, user.email, user.confirmed) == ("ada-codes", "ada@example.com", True)
    assert "Welcome. Your username is ada-codes." in client.get("/").text
    assert outbox() == []
    page = client.get("/auth/history")
    assert "Logged in with GitHub" in page.text
    assert "with GitHub" in client.get("/auth/devices").text
    assert "ada-codes" in client.get(METHODS).text
    assert "Disconnect GitHub" in client.get(METHODS).text


def test_later_logins_go_by_the_id(client, another_client, github):
    travel(client, github)
    github.user |= {"login": "ada-renamed"}
    github.emails = [address("elsewhere@example.com")]
    assert travel(another_client, github, remember_me="y").location == "/"
    assert connections() == [("ada-codes", 583231, "ada-renamed")]
    assert User.query.one().email == "ada@example.com"


def test_another_id_with_the_same_name_is_another_user(client, another_client, github):
    travel(client, github)
    github.user |= {"id": 2**40}
    github.emails = [address("second@example.com")]
    travel(another_client, github)
    assert [row[1] for row in connections()] == [583231, 2**40]


def test_confirmed_account_with_the_address_is_not_entered(client, ada, github):
    refused(client, travel(client, github), TAKEN)
    assert connections() == []
    client.log_in(ada)
    connect(client, github)
    assert connections() == [("ada", 583231, "ada-codes")]


def test_unconfirmed_account_with_the_address_is_cleared_for_its_owner(app, client, another_client, bob, github):
    attacker = another_client
    attacker.log_in(bob)
    db.session.add(GitHubAccount(user_id=bob.id, github_id=666, login="mallory"))
    db.session.add(Identity(user_id=bob.id, provider="acme", issuer="https://acme.example", subject="666"))
    db.session.commit()
    github.emails = [address("bob@example.com")]
    answer = travel(client, github)
    assert "Your email address is confirmed." in told(client, answer)
    assert connections() == [("bob", 583231, "ada-codes")]
    assert Identity.query.count() == 0
    assert not is_logged_in(attacker)
    client.post("/auth/logout")
    assert client.log_in(bob).status_code == 422, "the password of before"


def test_owner_who_was_connected_before_gets_the_unconfirmed_account_cleared_too(client, bob, github):
    db.session.add(GitHubAccount(user_id=bob.id, github_id=583231, login="ada-codes"))
    db.session.commit()
    github.emails = [address("bob@example.com")]
    travel(client, github)
    assert connections() == [("bob", 583231, "ada-codes")]
    assert db.session.get(User, bob.id).confirmed


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [address("ada@example.com", verified=False)],
        [address("ada@example.com", primary=False)],
        [address("ada@example.com", verified=False), address("old@example.com", primary=False)],
    ],
)
def test_only_the_verified_primary_address_counts(client, github, emails):
    github.emails = emails
    refused(client, travel(client, github), NO_ADDRESS)
    assert names() == []


def test_closed_registration(app, client, github):
    app.config["REGISTRATION_OPEN"] = False
    refused(client, travel(client, github), "registration is closed.")
    assert names() == []


def test_deactivated_user_is_refused(client, another_client, github, flask):
    travel(client, github)
    flask("users", "deactivate", "ada-codes")
    refused(another_client, travel(another_client, github), "This account has been deactivated.")


def test_two_factor_authentication_follows(client, ada, phone, github):
    db.session.add(GitHubAccount(user_id=ada.id, github_id=583231, login="ada-codes"))
    db.session.commit()
    assert travel(client, github).location == "/auth/two-factor/verify"
    assert not is_logged_in(client)
    phone.clock.move(minutes=2)
    client.post("/auth/two-factor/verify", data={"code": phone.code()})
    assert is_logged_in(client)
    assert client.post(CONNECTION).status_code == 403, "an authenticator app logs in, and proves one factor"
    prove(client, phone)
    assert client.post(CONNECTION).location == METHODS
    assert connections() == []


def test_ten_first_logins_at_once_create_one_account(app, github):
    browsers = [app.test_client() for _ in range(10)]
    links = [github.agree(set_out(browser)) for browser in browsers]
    answers = at_once(lambda pair: pair[0].get(pair[1]).status_code, list(zip(browsers, links, strict=True)))
    assert set(answers) <= {302, 503}
    assert names() == ["ada-codes"]
    assert len(connections()) == 1


def test_page_that_was_requested_opens(client, github):
    assert travel(client, github, f"{LOG_IN}?next=/auth/devices").location == "/auth/devices"
    client.post("/auth/logout")
    assert travel(client, github, f"{LOG_IN}?next=https://evil.example").location == "/"


def test_cart_of_the_visitor_arrives_with_the_signals(app, client, github):
    heard = []

    def hear(_, method, previous_session, **__):
        heard.append((method, previous_session))

    with client.session_transaction(base_url=app.config["PUBLIC_URL"]) as visitor:
        visitor["cart"] = ["rose"]
    with signals.user_logged_in.connected_to(hear, app):
        travel(client, github)
    assert heard == [("github", {"cart": ["rose"]})]


# What goes wrong


def test_cancelling(client, github):
    state = dict(parse_qsl(urlsplit(set_out(client)).query))["state"]
    parameters = error("access_denied", "The user has denied your application access.") | {"state": state}
    refused(client, client.get("/github/callback", query_string=parameters), CANCELLED)


@pytest.mark.parametrize("code", ["application_suspended", "redirect_uri_mismatch", "\r\nforged line"])
def test_errors_of_the_settings(client, github, code, caplog):
    state = dict(parse_qsl(urlsplit(set_out(client)).query))["state"]
    answer = client.get("/github/callback", query_string={"error": code, "state": state})
    refused(client, answer, MISCONFIGURED)
    assert repr(code) in caplog.text
    assert "\r\nforged" not in caplog.text


def test_wrong_secret(app, client, github):
    app.config["GITHUB_CLIENT_SECRET"] = "another"
    refused(client, travel(client, github), MISCONFIGURED)


def test_address_that_github_calls_unverified(client, github):
    said = error("unverified_user_email", "The user must have a verified primary email.")
    github.answers["/login/oauth/access_token"] = lambda handler: send(handler, said)
    refused(client, travel(client, github), NO_ADDRESS)


def test_wrong_code_and_no_code(client, github):
    for code in ({"code": "wrong"}, {}):
        state = dict(parse_qsl(urlsplit(set_out(client)).query))["state"]
        refused(client, client.get("/github/callback", query_string=code | {"state": state}), NOT_BELIEVED)
    assert names() == []


def test_code_of_another_browser_does_not_fit(client, another_client, github):
    """PKCE: an attacker injects the victim's code into a login of their own."""
    stolen = dict(parse_qsl(urlsplit(github.agree(set_out(client))).query))["code"]
    state = dict(parse_qsl(urlsplit(set_out(another_client)).query))["state"]
    answer = another_client.get("/github/callback", query_string={"code": stolen, "state": state})
    refused(another_client, answer, NOT_BELIEVED)


@pytest.mark.parametrize("path", ["/login/oauth/access_token", "/api/user", "/api/user/emails"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: send(handler, DOWN, 503, "text/html"),
        lambda handler: send(handler, DOWN, 200, "text/html"),
        lambda handler: send(handler, {"message": "API rate limit exceeded"}, 403, more={"X-RateLimit-Remaining": "0"}),
        lambda handler: send(handler, [None], 200),
        lambda handler: handler.connection.close(),
    ],
    ids=["503", "page", "rate limit", "nonsense", "hangs up"],
)
def test_github_is_down(client, github, path, answer):
    github.answers[path] = answer
    refused(client, travel(client, github), NO_ANSWER)
    assert names() == []


def test_github_takes_too_long(client, github, monkeypatch):
    monkeypatch.setattr(guide.client, "TIMEOUT", 0.2)
    github.answers["/api/user"] = lambda handler: github.over.wait(PATIENCE)
    refused(client, travel(client, github), NO_ANSWER)
    github.over.set()


def test_state_belongs_to_one_browser_once_and_ten_minutes(client, another_client, github, clock):
    link = github.agree(set_out(client))
    refused(another_client, another_client.get(link), TOO_LATE)
    refused(client, client.get(f"{link}x"), TOO_LATE)
    refused(client, client.get("/github/callback"), TOO_LATE)
    refused(client, client.get(link, headers={"Sec-Purpose": "prefetch"}), TOO_LATE)
    client.head(link)
    assert client.get(link).location == "/"
    client.post("/auth/logout")
    refused(client, client.get(link), TOO_LATE)
    link = github.agree(set_out(client))
    clock.move(minutes=11)
    refused(client, client.get(link), TOO_LATE)


def test_login_that_was_started_before_another_login_connects_nothing(client, ada, github):
    client.log_in(ada)
    assert OTHERS in told(client, travel(client, github))
    assert connections() == []


def test_rate_limit(client, github):
    statuses = [client.post(LOG_IN).status_code for _ in range(301)]
    assert (statuses[0], statuses[-1]) == (200, 429)


# Connect and disconnect


def test_connecting_tells_the_user_and_this_wasnt_me_removes_it(client, another_client, ada, github, outbox):
    client.log_in(ada)
    connect(client, github)
    assert "ada-codes" in client.get(METHODS).text
    assert "GitHub" in client.get("/auth/history").text
    choose(another_client, re.search(r"(/auth/secure-account/\S+)", outbox()[-1].body)[1])
    assert connections() == []


def test_disconnecting_tells_the_user_and_this_wasnt_me_restores_it(client, another_client, ada, github, outbox):
    another_client.log_in(ada)
    connect(another_client, github)
    client.log_in(ada)
    assert "ada-codes" in client.get(CONNECTION).text
    assert "GitHub was disconnected." in told(client, client.post(CONNECTION))
    assert (connections(), is_logged_in(client), is_logged_in(another_client)) == ([], True, False)
    choose(another_client, re.search(r"(/auth/secure-account/\S+)", outbox()[-1].body)[1])
    assert connections() == [("ada", 583231, "ada-codes")]


def test_the_only_login_is_not_removed(client, github):
    travel(client, github)
    assert "This is your only way to log in." in told(client, client.post(CONNECTION))
    db.session.add(Identity(user_id=User.query.one().id, provider="acme", issuer="https://acme.example", subject="1"))
    db.session.commit()
    assert "This is your only way" not in client.get("/auth/connections").text
    assert "GitHub was disconnected." in told(client, client.post(CONNECTION))


def test_an_account_at_github_belongs_to_one_account_here(client, another_client, ada, github):
    db.session.add(User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True))
    db.session.commit()
    eve = User.find("eve")
    client.log_in(ada)
    connect(client, github)
    another_client.log_in(eve)
    answer = travel(another_client, github, CONNECTION)
    assert "That GitHub account is already connected to another account here." in told(another_client, answer)
    assert connections() == [("ada", 583231, "ada-codes")]


def test_a_second_account_at_github_is_refused(client, ada, github):
    client.log_in(ada)
    late = github.agree(set_out(client, CONNECTION))
    db.session.add(GitHubAccount(user_id=ada.id, github_id=1, login="other"))
    db.session.commit()
    assert "A GitHub account is already connected. Disconnect it first." in told(client, client.get(late))


def test_connection_belongs_to_the_user_who_asked(client, ada, github):
    client.log_in(ada)
    link = github.agree(set_out(client, CONNECTION))
    client.post("/auth/logout")
    refused(client, client.get(link), TOO_LATE)


def test_connecting_needs_a_recent_login(client, ada, github, clock):
    client.log_in(ada)
    clock.move(minutes=20)
    assert client.get(CONNECTION).location == "/auth/reauthenticate"
    assert OAuthState.query.count() == 0


def test_export_and_deletion(client, github, flask):
    travel(client, github)
    user = User.query.one()
    assert personal_data.everything(user)["github_accounts"][0]["login"] == "ada-codes"
    flask("users", "delete", "ada-codes", "--now", "--yes")
    assert db.session.scalar(select(func.count()).select_from(GitHubAccount)) == 0


# The button


def test_button_is_on_the_pages_to_log_in_and_register_and_is_marked_after_use(client, github):
    for path in ("/", "/auth/login", "/auth/register"):
        assert "Continue with GitHub" in client.get(path).text
    travel(client, github)
    client.post("/auth/logout")
    assert re.search(r"Continue with GitHub\s*<span[^>]*>Last used</span>", client.get("/auth/login").text)


class TestWithoutSettings:
    @pytest.fixture
    def settings(self):
        return {"GITHUB_CLIENT_ID": ""}

    def test_there_is_no_button_no_row_and_no_page(self, own_app, client, ada):
        assert "GitHub" not in client.get("/auth/login").text
        assert client.post(LOG_IN).status_code == 404
        client.log_in(ada)
        assert "GitHub" not in client.get(METHODS).text


def test_a_browser_logs_in_connects_and_disconnects_by_keyboard(request, browser, live, github):
    folder = request.config.getoption("--screenshots")
    context = browser.new_context(base_url=live)
    context.set_default_timeout(60_000)
    page = context.new_page()

    def look(name):
        page.wait_for_load_state()  # a click waits only for the first byte of the next page
        for scheme, width in (("light", 1280), ("dark", 390)):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 800})
            if folder:
                page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()

    def reach(name, role="button"):
        """Go to a button by the Tab key alone, and press Enter."""
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText || ''").strip().startswith(name):
                return page.keyboard.press("Enter")
        raise AssertionError(f"The Tab key does not reach {name}")

    page.goto("/auth/register")
    look("register")
    page.goto("/auth/login")
    look("login")
    reach("Continue with GitHub")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_text(CANCELLED).wait_for()
    look("cancelled")
    reach("Continue with GitHub")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_text("Welcome. Your username is ada-codes.").wait_for()
    page.goto(METHODS)
    look("methods")
    page.get_by_role("link", name="Disconnect GitHub").click()
    look("disconnect")
    reach("Disconnect GitHub")
    page.get_by_text("This is your only way to log in.").wait_for()
    page.goto("/auth/history")
    look("history")
    page.locator("header summary").click()
    page.get_by_role("button", name="Log out").click()
    page.goto("/auth/login")
    page.get_by_role("button", name="Continue with GitHub").get_by_text("Last used").wait_for()
    look("last-used")
    context.close()
