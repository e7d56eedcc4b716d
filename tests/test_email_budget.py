"""The email budget of an address, and the reset links that an attacker cannot use up."""

import re

import pytest
from jinja2 import ChoiceLoader, DictLoader
from support.clients import on_sqlite

from app.email import budgets
from app.email.outbox import enqueue
from app.email.templates import Email, EmailTemplate
from app.extensions import db


@pytest.fixture(autouse=True)
def still(clock):
    """Stop the clock, unless a test moves it."""


def use_up(browser, email, page="/auth/reset"):
    for number in range(budgets.MAX_HOURLY):
        assert browser(f"192.0.2.{number}").post(page, data={"email": email}).status_code == 302


# Each page, and the start of the link in its email
PAGES = {"/auth/reset": "/auth/reset/", "/auth/magic-link": "/auth/magic-link/"}


@pytest.mark.parametrize("page", PAGES)
def test_a_recognised_device_gets_a_link_beyond_the_budget(browser_at, ada, outbox, clock, page):
    owner = browser_at("198.51.100.7")
    owner.log_in(ada)
    owner.post("/auth/logout")
    use_up(browser_at, ada.email)
    sent = len(outbox())
    for number in range(5):
        clock.move(minutes=2)
        owner.post(page, data={"email": ada.email})
        assert len(outbox()) == sent + min(number + 1, budgets.MAX_HOURLY_OF_DEVICES)
    assert outbox.link().startswith(PAGES[page])
    assert owner.get(outbox.link()).status_code in {200, 302}


@pytest.mark.parametrize("page", PAGES)
def test_a_device_of_another_account_gets_no_extra_budget(browser_at, ada, bob, outbox, page):
    other = browser_at("198.51.100.7")
    other.log_in(bob)
    other.post("/auth/logout")
    use_up(browser_at, ada.email)
    sent = len(outbox())
    other.post(page, data={"email": ada.email})
    assert len(outbox()) == sent


@on_sqlite
@pytest.mark.extended
@pytest.mark.parametrize(
    ("page", "wait"), [("/auth/reset", 0), ("/auth/magic-link", 20), ("/auth/magic-link", 54), ("/auth/reset", 59)]
)
def test_the_owner_always_gets_a_reset_link_that_works(browser_at, ada, outbox, clock, page, wait):
    """An attacker sends ten requests an hour for 36 hours; the user requests links in between, on a new device."""
    for hour in range(36):
        use_up(browser_at, ada.email, page)
        outbox()
        clock.move(minutes=wait)
        answer = browser_at("198.51.100.7").post("/auth/reset", data={"email": ada.email}, follow_redirects=True)
        outbox()
        link = re.findall(r"http://localhost(/auth/reset/\S+)", "".join(message.body for message in outbox))[-1]
        assert browser_at("198.51.100.7").get(link).status_code == 200, hour
        assert "The newest one still works" in answer.text
        clock.move(minutes=60 - wait, seconds=1)
    assert len(outbox) <= 2 * budgets.MAX_DAILY


def test_the_last_email_of_the_day_is_a_reset(browser_at, ada, outbox, clock):
    for _ in range(4):
        use_up(browser_at, ada.email, "/auth/magic-link")
        clock.move(hours=1)
    assert len(outbox()) == budgets.MAX_DAILY - 1
    browser_at("198.51.100.7").post("/auth/reset", data={"email": ada.email})
    assert len(outbox()) == budgets.MAX_DAILY
    assert "It works once and expires in 24 hours." in outbox[-1].body
    assert "this is the last one until tomorrow" in outbox[-1].body
    clock.move(hours=23)
    form = {"password": "another lantern", "confirm_password": "another lantern"}
    assert browser_at("198.51.100.7").post(outbox.link(), data=form).status_code == 302
    assert browser_at("198.51.100.7").get(outbox.link(budgets.MAX_DAILY - 1)).status_code == 410


@pytest.mark.extended
def test_an_address_without_an_account_has_the_same_budget(browser_at, ada, outbox, clock):
    def story(email):
        seen = []
        for minutes in (0, 10, 25, 40, 61, 61, 61, 61):
            use_up(browser_at, email)
            seen.append([message.recipients for message in outbox()].count([email]))
            clock.move(minutes=minutes)
        return seen

    assert story(ada.email) == story("nobody@example.com")


class OwnEmail(EmailTemplate):
    DIGEST = "digest"


def test_own_emails_and_notices_do_not_count_against_the_budget(app, browser_at, ada, outbox):
    own = DictLoader({"email/digest.txt": "Subject: Your week\n\nNothing new."})
    app.jinja_env.loader = ChoiceLoader([own, app.jinja_env.loader])
    for _ in range(budgets.MAX_DAILY + 1):
        enqueue(OwnEmail.DIGEST, ada)
        enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    assert any("Nothing new." in message.body for message in outbox())
    browser_at().post("/auth/reset", data={"email": ada.email})
    assert "/auth/reset/" in outbox()[-1].body


def test_other_addresses_of_a_mailbox_share_its_limit_but_not_resets(browser_at, ada, outbox):
    for number in range(20):
        browser_at(f"192.0.2.{number}").post("/auth/reset", data={"email": f"ada+{number}@example.com"})
    assert len(outbox()) == budgets.MAX_HOURLY
    browser_at("198.51.100.7").post("/auth/reset", data={"email": "ada@example.com"})
    assert len(outbox()) == budgets.MAX_HOURLY + 1
    assert "/auth/reset/" in outbox[-1].body
