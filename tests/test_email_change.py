"""Changing the email address: request, link, and "This wasn't me"."""

import contextvars
import re
from datetime import timedelta

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, value_of
from support.concurrency import copies
from support.emails import code_in
from support.pages import is_logged_in
from support.records import has_happened

from app.accounts import secure_account
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail

ADA, NEW, NEWER, BOB = "ada@example.com", "ada@example.org", "ada@example.net", "bob@example.com"
THIEFS, OWNERS = "an umbrella for the thief", "a boat for the owner"
SECURE = "/auth/secure-account/"
GONE = "This link has expired or was already used"


def ask(browser, email, password=PASSWORD, **fields):
    return browser.post("/auth/change-email", data={"email": email, "password": password} | fields)


def link_to(outbox, address, page):
    """Return the newest link to a page that was emailed to an address."""
    went = [n for n, message in enumerate(outbox()) if message.recipients == [address] and page in message.body]
    return outbox.link(went[-1])


def change(browser, outbox, email, password=PASSWORD):
    assert ask(browser, email, password).location == "/auth/email-sent"
    assert browser.get(link_to(outbox, email, "/auth/change-email/")).location == "/account"


def take_back(browser, link):
    """Take the account back by "This wasn't me"."""
    return browser.post(link, data={"password": OWNERS, "confirm_password": OWNERS})


def change_password(browser):
    form = {"old_password": PASSWORD, "password": THIEFS, "confirm_password": THIEFS}
    assert browser.post("/auth/change-password", data=form).location == "/auth/login-methods"


def help_of(page, field):
    """Return the help or error of a field."""
    assert page.status_code == 422
    return page.text.partition(f'id="{field}-help"')[2].partition("</div>")[0]


def register(browser, email, name="eve"):
    form = {"email": email, "username": name, "password": PASSWORD, "confirm_password": PASSWORD}
    return browser.post("/auth/register", data=form)


@pytest.fixture
def thief(app):
    """Return the browser of an attacker who has the password."""
    return app.test_client()


# Requesting the change, and opening the link


def test_change_email_from_request_to_new_address(app, client, another_client, ada, outbox, clock):
    client.log_in(ada)
    another_client.log_in(ada)
    outbox().clear()  # the email about the second device
    [copy] = copies(client, 1)

    assert ADA in client.get("/auth/change-email").text
    page = client.post("/auth/change-email", data={"email": f" {NEW} ", "password": PASSWORD}, follow_redirects=True)
    assert (page.request.path, NEW in page.text) == ("/auth/email-sent", True)
    to_new, to_old = outbox()
    assert (to_new.recipients, to_old.recipients) == ([NEW], [ADA])
    assert "ada (at) example (dot) org" in to_old.body, "mail clients must not turn it into a link"
    assert re.search(r"This wasn't me:\n(\S+)", to_old.body)[1].startswith(f"http://localhost{SECURE}")
    assert "/auth/change-email/" not in to_old.body
    assert ada.email == ADA, "the request changes nothing"
    assert is_logged_in(another_client)

    link = link_to(outbox, NEW, "/auth/change-email/")
    page = client.get(link, follow_redirects=True)
    assert (page.status_code, page.request.path) == (200, "/account")
    assert "Your email address was changed." in page.text
    assert (ada.email, ada.confirmed) == (NEW, True)
    assert is_logged_in(client)
    assert not is_logged_in(copy), "the session has another id"
    page = another_client.get("/account", follow_redirects=True)
    assert "your email address was changed" in page.text
    undo = outbox()[-1]
    assert undo.recipients == [ADA]
    assert "ada (at) example (dot) org" in undo.body
    assert f"The link works until {clock.time + timedelta(days=7):%-d %B %Y, %H:%M} UTC." in undo.body
    assert outbox.link().startswith(SECURE)

    page = client.get(link, follow_redirects=True)
    assert (page.status_code, page.request.path) == (200, "/account")
    assert f"Your email address is already {NEW}" in page.text
    assert another_client.get(link).status_code == 410
    assert len(outbox()) == 3
    for login, status in ((ADA, 422), (NEW.upper(), 302)):
        assert another_client.post("/auth/login", data={"login": login, "password": PASSWORD}).status_code == status
    assert (has_happened("email_change_requested"), has_happened("email_changed")) == (1, 1)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("password", "wrong", "Incorrect password."),
        ("email", "ada", "must have an @-sign"),
        ("email", "ada@EXAMPLE.com", "This is already your email address."),
        ("email", BOB, "already registered"),
        ("email", "BOB@Example.COM", "already registered"),
    ],
)
def test_change_email_shows_each_error_beside_its_field(client, ada, bob, outbox, field, value, error):
    client.log_in(ada)
    form = {"email": NEW, "password": PASSWORD} | {field: value}
    page = client.post("/auth/change-email", data=form)
    assert error in help_of(page, field)
    assert value_of(page, "email").lower() == form["email"].lower()
    assert PASSWORD not in page.text
    assert (outbox(), has_happened("email_change_requested")) == ([], 0)


def test_an_email_change_link_works_for_an_hour(client, ada, outbox, clock):
    client.log_in(ada)
    ask(client, NEW)
    link = link_to(outbox, NEW, "/auth/change-email/")
    clock.move(minutes=59)
    assert client.get(link).location == "/account"
    clock.move(minutes=2)
    assert f"Your email address is already {NEW}." in client.get(link, follow_redirects=True).text


def test_an_email_change_link_in_another_browser_asks_for_login(client, another_client, ada, outbox):
    client.log_in(ada)
    ask(client, NEW)
    link = link_to(outbox, NEW, "/auth/change-email/")
    asked = another_client.get(link, follow_redirects=True)
    assert asked.request.full_path.rstrip("?") == "/auth/login"
    assert "Log in to change your email address." in asked.text
    assert ada.email == ADA
    page = another_client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, follow_redirects=True)
    assert (page.request.path, "Your email address was changed." in page.text) == ("/account", True)
    assert ada.email == NEW
    assert (is_logged_in(another_client), is_logged_in(client)) == (True, False)


def test_an_email_change_link_needs_its_user_and_a_get(client, another_client, ada, bob, outbox):
    bob.confirmed = True
    db.session.commit()
    client.log_in(ada)
    another_client.log_in(bob)
    ask(client, NEW)
    link = link_to(outbox, NEW, "/auth/change-email/")
    page = another_client.get(link)
    assert (page.status_code, GONE in page.text) == (410, True)
    client.head(link)
    for headers in ({"Sec-Purpose": "prefetch;prerender"}, {"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}):
        client.get(link, headers=headers)
    client.post(link)
    assert (ada.email, bob.email, has_happened("email_changed")) == (ADA, BOB, 0)
    assert client.get(link).location == "/account"
    assert ada.email == NEW


def by_the_clock(client, outbox, clock):
    clock.move(hours=1)


def by_another_change(client, outbox, clock):
    change(client, outbox, NEWER)


@pytest.mark.parametrize("end", [by_the_clock, by_another_change])
def test_changes_of_the_account_invalidate_the_email_change_link(client, another_client, ada, outbox, clock, end):
    client.log_in(ada)
    ask(client, NEW)
    link = link_to(outbox, NEW, "/auth/change-email/")
    end(client, outbox, clock)
    assert client.get(link).status_code == 410
    assert another_client.get(link).status_code == 410, "the login would be in vain"
    assert ada.email != NEW


# Availability of the new address


@pytest.mark.parametrize("is_seen_only_by_the_database", [False, True])
def test_of_two_requests_for_an_address_the_first_link_wins(
    client, another_client, ada, bob, outbox, monkeypatch, is_seen_only_by_the_database
):
    bob.confirmed = True
    db.session.commit()
    links = []
    for browser, user in ((client, ada), (another_client, bob)):
        browser.log_in(user)
        assert ask(browser, NEW).location == "/auth/email-sent"
        links.append(link_to(outbox, NEW, "/auth/change-email/"))
    assert another_client.get(links[1]).location == "/account"
    if is_seen_only_by_the_database:  # as in a race
        monkeypatch.setattr("app.models.user.is_free", lambda *_: [])
    page = client.get(links[0])
    assert (page.status_code, GONE in page.text) == (410, True)
    assert (ada.email, bob.email) == (ADA, NEW)
    assert (is_logged_in(client), has_happened("email_changed")) == (True, 1)


def test_changing_the_case_of_an_address_can_be_reversed(client, another_client, ada, outbox):
    client.log_in(ada)
    change(client, outbox, "Ada@example.com")
    assert (ada.email, ada.email_key) == ("Ada@example.com", ADA)
    assert another_client.post("/auth/login", data={"login": ADA, "password": PASSWORD}).status_code == 302
    assert take_back(another_client, link_to(outbox, ADA, SECURE)).location == "/auth/login"
    assert (ada.email, ada.email_key) == (ADA, ADA)
    assert not is_logged_in(client)


# This wasn't me


def test_this_wasnt_me_restores_the_old_address(app, client, another_client, thief, ada, outbox):
    client.log_in(ada)
    thief.log_in(ada)
    change(thief, outbox, NEW)
    link = link_to(outbox, ADA, SECURE)
    change_password(thief)
    change(thief, outbox, NEWER, THIEFS)
    second = app.test_client()
    assert second.log_in(ada, THIEFS).location == "/"

    page = another_client.get(link)
    assert (page.status_code, page.text.count("<form")) == (200, 1)
    assert f"Your email address will be <strong><bdi>{ADA}</bdi></strong>." in page.text
    another_client.head(link)
    assert (ada.email, is_logged_in(thief), is_logged_in(second)) == (NEWER, True, True), "GET changes nothing"

    action = page.text.partition('<form method="post" action="')[2].partition('"')[0]
    assert take_back(another_client, action).location == "/auth/login"
    assert ada.email == ADA
    assert all(another_client.log_in(ada, password).status_code == 422 for password in (PASSWORD, THIEFS))
    for browser in (thief, second):
        page = browser.get("/account", follow_redirects=True)
        told = "the account was secured with the link in a security email" in page.text
        assert (page.request.path, told) == ("/auth/login", True)
    restored, lost = outbox()[-2:]
    assert (lost.recipients, "was removed" in lost.subject, "/auth/" in lost.body) == ([NEWER], True, False)
    assert restored.recipients == [ADA]

    assert client.log_in(ada, OWNERS).location == "/"
    assert is_logged_in(client)
    assert has_happened("account_secured") == 1


def test_a_late_email_about_an_email_change_is_still_sent(client, thief, ada, outbox, clock):
    thief.log_in(ada)
    ask(thief, NEW)
    thief.get(link_to(outbox, NEW, "/auth/change-email/"))
    OutboxEmail.claim().retry_later("451 later")
    db.session.commit()
    change_password(thief)
    change(thief, outbox, NEWER, THIEFS)
    subject = "Your Flasky email address was changed"
    assert not [message for message in outbox() if message.recipients == [ADA] and message.subject == subject]
    clock.move(minutes=1)
    link = link_to(outbox, ADA, SECURE)
    assert outbox[-1].subject == subject
    assert take_back(client, link).status_code == 302
    assert (ada.email, ada.verify_password(OWNERS), is_logged_in(thief)) == (ADA, True, False)


def test_this_wasnt_me_invalidates_links_sent_to_other_addresses(app, client, another_client, thief, ada, outbox):
    thief.log_in(ada)
    ask(thief, NEWER)
    links = [link_to(outbox, NEWER, "/auth/change-email/")]  # sent to the address that is restored
    change(thief, outbox, NEW)
    link_to_ada = link_to(outbox, ADA, SECURE)

    def have_links_sent(email):
        another_client.post("/auth/reset", data={"email": email})
        links.append(link_to(outbox, email, "/auth/reset/"))
        asker = app.test_client()
        asker.post("/auth/magic-link", data={"email": email})
        links.append(link_to(outbox, email, "/auth/magic-link/"))
        return asker, code_in(outbox[-1])

    have_links_sent(NEW)
    change(thief, outbox, NEWER)
    links.append(link_to(outbox, NEW, SECURE))
    waiting, code = have_links_sent(NEWER)
    ask(thief, NEW)
    links.append(link_to(outbox, NEW, "/auth/change-email/"))
    assert another_client.get(links[-2]).status_code == 200, "the newest link works"

    assert take_back(client, link_to_ada).status_code == 302
    assert len(links) == 7
    form = {"password": THIEFS, "confirm_password": THIEFS}
    for link in links:
        assert [browser.get(link).status_code for browser in (another_client, thief, waiting)] == [410] * 3
        if "/change-email/" not in link:  # this link is opened, not posted
            assert another_client.post(link, data=form).status_code == 410
    assert waiting.post("/auth/magic-link/sent", data={"code": code}).status_code == 422
    assert (ada.email, ada.verify_password(OWNERS)) == (ADA, True)
    assert not any(map(is_logged_in, (thief, another_client, waiting)))


def test_this_wasnt_me_drops_waiting_emails_with_links(client, another_client, thief, ada, outbox):
    thief.log_in(ada)
    change(thief, outbox, NEW)
    link = link_to(outbox, ADA, SECURE)
    ask(thief, NEWER)
    thief.get(link_to(outbox, NEWER, "/auth/change-email/"))
    another_client.post("/auth/reset", data={"email": NEWER})
    ask(thief, NEW)
    outbox.clear()
    take_back(client, link)
    sent = {(message.recipients[0], page) for message in outbox() for page in re.findall(r"/auth/[\w-]+", message.body)}
    assert sent == {(ADA, "/auth/reset")}
    dropped = select(OutboxEmail.name).where(OutboxEmail.status == "obsolete").order_by(OutboxEmail.name)
    assert db.session.scalars(dropped).all() == ["change_email", "email_change_requested", "email_changed", "reset"]


def test_the_old_address_stays_reserved_for_seven_days(app, client, another_client, ada, bob, outbox, clock):
    bob.confirmed = True
    db.session.commit()
    eve, cleo = app.test_client(), app.test_client()
    register(eve, "eve@example.com")
    client.log_in(ada)
    change(client, outbox, NEW)
    link = link_to(outbox, ADA, SECURE)

    def is_held_for_ada():
        """Assert that registration, correction, email change and commands refuse the address."""
        another_client.log_in(bob)
        eve.post("/auth/login", data={"login": "eve", "password": PASSWORD})
        answers = (
            register(cleo, "ADA@example.com", "cleo"),
            ask(another_client, "ADA@example.com"),
            eve.post("/auth/unconfirmed", data={"email": "ADA@example.com"}),
        )
        command = app.test_cli_runner().invoke
        typed = f"{ADA}\ncleo\n{PASSWORD}\n{PASSWORD}\n"
        made = contextvars.Context().run(command, args=["users", "create", "--confirmed"], input=typed)
        assert "already in use" in made.output
        return all("already registered" in help_of(page, "email") for page in answers)

    assert is_held_for_ada()
    clock.move(days=6, hours=23, minutes=59)
    assert is_held_for_ada()
    assert another_client.get(link).status_code == 200
    clock.move(minutes=1)
    assert (another_client.get(link).status_code, take_back(another_client, link).status_code) == (410, 410)
    assert ask(another_client, ADA).status_code == 302
    assert register(cleo, ADA, "cleo").status_code == 302
    assert ada.email == NEW


def test_a_reserved_address_is_not_available_to_an_older_link(client, another_client, ada, bob, outbox):
    bob.confirmed = True
    db.session.commit()
    another_client.log_in(bob)
    ask(another_client, NEW)
    link = link_to(outbox, NEW, "/auth/change-email/")
    client.log_in(ada)
    change(client, outbox, NEW)
    change(client, outbox, NEWER)
    assert another_client.get(link).status_code == 410
    assert bob.email == BOB


# Users without a password


@pytest.fixture
def without_password(client, ada, outbox):
    """Return a browser that is logged in by a magic link, to an account without a password."""
    ada.password_hash = None
    db.session.commit()
    client.post("/auth/magic-link", data={"email": ADA})
    assert client.get(outbox.link()).location == "/"
    return client


def send_code(browser, outbox, email=NEW):
    """Request a code by the button of the form, and return it."""
    page = browser.post("/auth/change-email", data={"email": email, "send_code": "y"})
    assert page.status_code == 200
    assert value_of(page, "email") == email
    assert f"We sent a code to <strong><bdi>{ADA}</bdi></strong>" in page.text
    assert 'name="code"' in page.text
    message = outbox()[-1]
    assert (message.recipients, "is your Flasky code" in message.subject) == ([ADA], True)
    return code_in(message)


def test_change_email_without_a_password_asks_for_an_emailed_code(another_client, without_password, ada, outbox):
    form = without_password.get("/auth/change-email").text
    assert 'name="send_code"' in form
    assert not any(f'name="{field}"' in form for field in ("password", "code"))
    assert "Enter the code" in help_of(ask(without_password, NEW), "code")
    another_client.post("/auth/magic-link", data={"email": ADA})
    assert "incorrect" in help_of(ask(without_password, NEW, code=code_in(outbox()[-1])), "code"), "a magic link's code"

    code = send_code(without_password, outbox)
    assert "@-sign" in help_of(ask(without_password, "ada", code=code), "email")
    page = ask(without_password, ADA, code=code)
    assert "already your email address" in help_of(page, "email")
    assert f'value="{code.replace(" ", "")}"' in page.text, "the code was not used"
    assert "incorrect" in help_of(ask(without_password, NEW, code="12 34"), "code")
    assert ask(without_password, NEW, code=f" {code.replace(' ', '-')} ").location == "/auth/email-sent"
    assert [message.recipients for message in outbox()][-2:] == [[NEW], [ADA]]
    assert "incorrect" in help_of(ask(without_password, NEWER, code=code), "code"), "the code was used"
    assert send_code(without_password, outbox) != code
    assert without_password.get(link_to(outbox, NEW, "/auth/change-email/")).location == "/account"
    assert ada.email == NEW


def test_a_user_with_a_password_cannot_use_a_code(client, ada, outbox):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": NEW, "send_code": "y"})
    assert "Enter your password." in help_of(ask(client, NEW, password="", code=code_in(outbox()[-1])), "password")
    assert has_happened("email_change_requested") == 0


def test_an_address_over_budget_is_refused_without_using_the_code(app, without_password, ada, outbox):
    code = send_code(without_password, outbox)
    for _ in range(10):
        app.test_client().post("/auth/reset", data={"email": NEW})
    assert "Too many emails were sent to this address" in help_of(ask(without_password, NEW, code=code), "email")
    assert ask(without_password, NEWER, code=code).location == "/auth/email-sent"


# This wasn't me, among other changes


def test_returning_to_a_reserved_address_revokes_links_between(client, thief, ada, outbox):
    thief.log_in(ada)
    change(thief, outbox, NEW)
    change(thief, outbox, NEWER)
    client.log_in(ada)
    change(client, outbox, ADA)
    assert outbox()[-1].recipients == [NEWER]
    assert SECURE not in outbox[-1].body
    for address in (NEW, NEWER):
        assert take_back(thief, link_to(outbox, address, SECURE)).status_code == 410
    assert ada.email == ADA
    assert take_back(client, link_to(outbox, ADA, SECURE)).status_code == 302
    assert ada.email == ADA


@pytest.fixture
def meanwhile(monkeypatch):
    """Run something between finding a link and using it."""

    def do(deed):
        take_back = secure_account.take_back

        def late(found):
            contextvars.Context().run(deed)
            return take_back(found)

        monkeypatch.setattr(secure_account, "take_back", late)

    return do


def test_this_wasnt_me_removes_a_password_that_is_set_concurrently(
    client, thief, without_password, ada, outbox, meanwhile
):
    assert ask(without_password, NEW, code=send_code(without_password, outbox)).location == "/auth/email-sent"
    assert without_password.get(link_to(outbox, NEW, "/auth/change-email/")).location == "/account"
    link = link_to(outbox, ADA, SECURE)
    thief.post("/auth/reset", data={"email": NEW})
    reset = outbox.link()
    meanwhile(lambda: thief.post(reset, data={"password": THIEFS, "confirm_password": THIEFS}))
    assert take_back(without_password, link).location == "/auth/login"
    assert (ada.email, ada.verify_password(OWNERS)) == (ADA, True)
    thief.log_in(ada, THIEFS)
    assert not is_logged_in(thief)


def test_this_wasnt_me_reverses_a_concurrent_email_change(client, thief, ada, outbox, meanwhile):
    thief.log_in(ada)
    change(thief, outbox, NEW)
    link = link_to(outbox, ADA, SECURE)
    ask(thief, NEWER)
    to_newer = link_to(outbox, NEWER, "/auth/change-email/")
    meanwhile(lambda: thief.get(to_newer))
    assert take_back(client, link).location == "/auth/login"
    assert [message.subject for message in outbox()].count("Your Flasky email address was changed") == 1
    assert take_back(thief, link_to(outbox, NEW, SECURE)).status_code == 410
    assert ada.email == ADA


def test_this_wasnt_me_keeps_the_email_about_an_earlier_change(client, thief, another_client, ada, outbox):
    """Otherwise an attacker could reverse a second change to drop the user's email."""
    thief.log_in(ada)
    change(thief, outbox, NEW)
    first = db.session.scalar(select(OutboxEmail).where(OutboxEmail.name == Email.EMAIL_CHANGED))
    first.status = "waiting"  # as if the mail server had refused it temporarily
    db.session.commit()
    another_client.log_in(ada)
    ask(another_client, NEWER)
    to_newer = [message for message in outbox() if message.recipients == [NEWER]][-1]
    another_client.get(re.search(r"http://localhost(/auth/change-email/\S+)", to_newer.body)[1])
    later = link_to(outbox, NEW, SECURE)
    first.status = "waiting"
    db.session.commit()
    outbox.clear()
    assert take_back(thief, later).location == "/auth/login"
    assert ada.email == NEW
    assert take_back(client, link_to(outbox, ADA, SECURE)).location == "/auth/login"
    assert ada.email == ADA


def test_links_to_an_address_stay_invalid_after_the_user_returns_to_it(client, another_client, ada, outbox):
    client.log_in(ada)
    another_client.post("/auth/reset", data={"email": ADA})
    reset = outbox.link()
    change(client, outbox, NEW)
    used = link_to(outbox, NEW, "/auth/change-email/")
    change(client, outbox, ADA)
    assert client.get(used).status_code == 410
    assert another_client.get(reset).status_code == 410


def test_this_wasnt_me_fails_if_the_address_was_taken(client, another_client, ada, outbox, clock, meanwhile):
    client.log_in(ada)
    change(client, outbox, NEW)
    link = link_to(outbox, ADA, SECURE)

    def register_it():
        clock.move(days=7)
        assert register(another_client, ADA).status_code == 302

    meanwhile(register_it)
    assert take_back(client, link).status_code == 410
    assert ada.email == NEW
    assert ada.verify_password(PASSWORD)
