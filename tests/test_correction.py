"""The unconfirmed page: correcting a mistyped email address, and confirming by code."""

import contextvars
import re
from html import unescape

import pytest
from sqlalchemy import func, select
from support.clients import PASSWORD, value_of
from support.concurrency import at_once
from support.emails import code_in, wrong
from support.records import has_happened
from support.registration import FORM

from app.accounts import registration
from app.extensions import db
from app.models import EmailChallenge, User

MISTYPED, RIGHT, ADA = "eve@exmaple.com", "eve@example.com", "ada@example.com"
HOME = "/"


def register(browser, email=MISTYPED, name="eve"):
    assert (
        browser.post("/auth/register", data=FORM | {"email": email, "username": name}).location == "/auth/unconfirmed"
    )


def correct(browser, email):
    return browser.post("/auth/unconfirmed", data={"email": email})


def type_code(browser, code):
    return browser.post("/auth/unconfirmed", data={"code": code})


def newest_code(outbox):
    return code_in(outbox()[-1])


def help_of(page, field):
    """Return the help and errors of a field."""
    assert page.status_code == 422
    return page.text.partition(f'id="{field}-help"')[2].partition("</div>")[0]


def test_correcting_the_address_sends_a_new_email_and_invalidates_the_old_link_and_code(
    client, another_client, ada, outbox
):
    register(client)
    link, code = outbox.link(), newest_code(outbox)
    assert "Wrong address? Change it" in client.get("/auth/unconfirmed").text

    page = client.post("/auth/unconfirmed", data={"email": f" {RIGHT} "}, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert f"We sent a link and a code to <strong><bdi>{RIGHT}</bdi></strong>" in page.text
    assert MISTYPED not in page.text
    eve = User.find(RIGHT)
    assert (eve.username, eve.confirmed, User.find(MISTYPED)) == ("eve", False, None)
    assert [email.recipients for email in outbox()] == [[MISTYPED], [RIGHT]]

    assert [browser.get(link).status_code for browser in (client, another_client)] == [410, 410]
    assert newest_code(outbox) != code
    assert "incorrect" in help_of(type_code(client, code), "code")
    assert not eve.confirmed
    assert "Your email address is confirmed" in client.get(outbox.link(), follow_redirects=True).text
    assert eve.confirmed
    assert another_client.get(link).status_code == 410, "whoever has the mistyped mailbox"
    assert has_happened("email_corrected") == 1


def test_correcting_the_address_drops_emails_that_wait_for_the_old_one(app, client, outbox):
    register(client)
    app.test_client().post("/auth/magic-link", data={"email": MISTYPED})
    correct(client, RIGHT)
    assert [email.recipients for email in outbox()] == [[RIGHT]]


def test_code_of_the_corrected_address_confirms(client, outbox):
    register(client)
    type_code(client, wrong(newest_code(outbox)))
    correct(client, RIGHT)
    assert type_code(client, newest_code(outbox)).location == HOME
    assert User.find(RIGHT).confirmed


def test_correcting_to_the_same_address_sends_the_same_code_again(client, outbox):
    register(client, RIGHT)
    code = newest_code(outbox)
    assert correct(client, RIGHT).status_code == 302
    assert (len(outbox()), newest_code(outbox)) == (2, code)
    assert type_code(client, code).location == HOME


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("", "Enter your email address."),
        ("eve at example.com", "must have an @-sign"),
        (ADA, "already registered"),
        ("ADA@Example.com", "already registered"),
    ],
)
def test_correction_form_names_the_error_and_keeps_the_value(client, ada, outbox, typed, error):
    register(client)
    page = correct(client, typed)
    assert error in help_of(page, "email")
    assert value_of(page, "email").lower() == typed.lower()
    assert "<details open>" in page.text
    assert User.find("eve").email == MISTYPED
    assert len(outbox()) == 1


def test_address_can_be_corrected_five_times_an_hour(client, outbox, clock):
    register(client)
    for number in range(5):
        assert correct(client, f"eve{number}@example.com").status_code == 302
        clock.move(minutes=1)
    page = correct(client, RIGHT)
    assert "changed your email address too often. Try again in an hour" in help_of(page, "email")
    assert f'value="{RIGHT}"' in page.text
    clock.move(minutes=54)
    assert correct(client, RIGHT).status_code == 422
    clock.move(minutes=1)
    assert correct(client, RIGHT).status_code == 302
    assert outbox()[-1].recipients == [RIGHT]
    assert User.find("eve").email == RIGHT


def test_correction_to_an_address_over_its_email_budget_is_refused(client, another_client, outbox):
    register(client)
    for _ in range(10):
        another_client.post("/auth/reset", data={"email": RIGHT})
    assert "Too many emails were sent to this address." in help_of(correct(client, RIGHT), "email")
    assert User.find("eve").email == MISTYPED


def test_correction_counts_as_one_email_to_the_mailbox(client, another_client, outbox):
    register(client)
    for number in range(9):
        another_client.post("/auth/magic-link", data={"email": f"eve+{number}@example.com"})
    assert correct(client, RIGHT).location == "/auth/unconfirmed"
    assert outbox()[-1].recipients == [RIGHT]


def somebody_registers(browser, outbox, monkeypatch):
    register(browser, RIGHT, "eva")


def somebody_registers_at_this_moment(browser, outbox, monkeypatch):
    register(browser, RIGHT, "eva")
    monkeypatch.setattr("app.models.user.is_free", lambda *_: [])  # so that the unique constraint decides


def somebody_gives_it_up_but_may_get_it_back(browser, outbox, monkeypatch):
    register(browser, RIGHT, "eva")
    browser.get(outbox.link())
    browser.post("/auth/change-email", data={"email": "eva@example.org", "password": PASSWORD})
    outbox()
    assert browser.get(outbox.link(-2)).location == "/account"


@pytest.mark.parametrize(
    "happens", [somebody_registers, somebody_registers_at_this_moment, somebody_gives_it_up_but_may_get_it_back]
)
def test_correction_to_an_address_registered_in_the_meantime_is_a_form_error(
    client, another_client, outbox, monkeypatch, happens
):
    register(client)
    is_taken, asked = registration.is_taken, []

    def is_free_at_first(email, user=None):
        if not asked:
            asked.append(email)
            happens(another_client, outbox, monkeypatch)
            return False
        return is_taken(email, user)

    monkeypatch.setattr(registration, "is_taken", is_free_at_first)
    assert "already registered" in help_of(correct(client, RIGHT), "email")
    assert User.find("eve").email == MISTYPED
    assert has_happened("email_corrected") == 0


def test_correcting_twice_at_once_corrects_once(app, client, outbox, monkeypatch):
    register(client)
    twin, verb, asked = app.test_client(), registration.correct, []
    twin.set_cookie("session", client.get_cookie("session").value)

    def be_overtaken(user, email):
        asked.append(email)
        if len(asked) == 1:
            contextvars.Context().run(correct, twin, email)
        return verb(user, email)

    monkeypatch.setattr(registration, "correct", be_overtaken)
    assert correct(client, RIGHT).location == "/auth/unconfirmed"
    assert has_happened("email_corrected") == 1


def test_ten_corrections_to_one_address_at_once_give_it_to_one_user(app, outbox):
    browsers = [app.test_client() for _ in range(10)]
    for number, browser in enumerate(browsers):
        register(browser, f"eve{number}@example.com", f"eve{number}")
    assert sorted(at_once(lambda browser: correct(browser, RIGHT).status_code, browsers)) == [302] + [422] * 9
    assert [email.recipients for email in outbox()].count([RIGHT]) == 1
    assert len(outbox()) == 10


def test_correction_requires_an_unconfirmed_login(client, ada, outbox):
    assert correct(client, RIGHT).location == "/auth/login"
    client.log_in(ada)
    assert correct(client, RIGHT).location == HOME
    assert (ada.email, outbox()) == (ADA, [])


def form_of(page, words):
    """Return the fields of the form with this button."""
    form = next(form for form in re.findall(r"<form.*?</form>", page, re.DOTALL) if words in form)
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in fields}


def test_likely_address_is_suggested_with_a_button(client, outbox):
    register(client, "o'Eve+1@gmial.com")
    page = client.get("/auth/unconfirmed").text
    assert "Did you mean <strong><bdi>o&#39;Eve+1@gmail.com</bdi></strong>?" in page
    client.post("/auth/unconfirmed", data=form_of(page, "Yes, use that address"))
    assert [email.recipients for email in outbox()] == [["o'Eve+1@gmail.com"]]
    assert "Did you mean" not in client.get("/auth/unconfirmed").text


TYPOS = dict.fromkeys(["gmial.com", "gmail.con", "gmai.com"], "gmail.com")
TYPOS |= {"hotmial.com": "hotmail.com", "yaho.com": "yahoo.com", "outlok.com": "outlook.com"}
NO_TYPOS = "gmail.com mail.com ymail.com gmx.de hotmail.es yahoo.co.uk mailo.com web.de bücher.example".split()


def test_typos_of_well_known_domains_are_suggested_and_no_others(client, bob):
    client.log_in(bob)
    for domain, meant in (TYPOS | dict.fromkeys(NO_TYPOS)).items():
        bob.email = f"Bob@{domain}"
        db.session.commit()
        page = client.get("/auth/unconfirmed").text
        assert re.findall(r"Did you mean <strong><bdi>(.*?)<", page) == ([f"Bob@{meant}"] if meant else []), domain


@pytest.mark.parametrize("spelled", ["{0} {1}", "{0}{1}", " {0}-{1} ", "{0[0]} {0[1]}-{0[2]} {0[3]}{1}"])
def test_confirmation_code_confirms_and_redirects_to_the_page_asked_for(client, another_client, outbox, spelled):
    register(client)
    assert client.get("/account?tab=1").location == "/auth/unconfirmed"
    link, code = outbox.link(), newest_code(outbox)
    page = client.post("/auth/unconfirmed", data={"code": spelled.format(*code.split())}, follow_redirects=True)
    assert page.request.full_path == "/account?tab=1"
    assert "Your email address is confirmed" in page.text
    assert User.find("eve").confirmed
    assert another_client.get(link).status_code == 410, "the link went with it"
    assert has_happened("confirmed") == 1


def test_confirmation_code_has_five_attempts(client, outbox, clock):
    register(client)
    code = newest_code(outbox)
    for typed in ("", "   "):
        assert "Enter the code" in help_of(type_code(client, typed), "code")
    for typed in (wrong(code), "1234", "nonsense", code[:-1], f"{code}0"):
        page = type_code(client, typed)
        assert "This code is incorrect" in help_of(page, "code")
    assert "incorrect" in help_of(type_code(client, code), "code")
    assert not User.find("eve").confirmed

    clock.move(minutes=1)
    client.post("/auth/confirm")
    assert newest_code(outbox) != code
    assert "incorrect" in help_of(type_code(client, code), "code")
    assert type_code(client, newest_code(outbox)).location == HOME


def test_resent_email_has_the_same_code_while_it_can_be_entered(client, outbox, clock):
    register(client)
    code = newest_code(outbox)
    for tries in range(4):
        type_code(client, wrong(code))
        clock.move(minutes=10)
        client.post("/auth/confirm")
        assert (len(outbox()), newest_code(outbox)) == (tries + 2, code)
    type_code(client, wrong(code))
    assert "incorrect" in help_of(type_code(client, code), "code"), "an email more is no try more"


def test_confirmation_code_works_for_an_hour(client, outbox, clock):
    register(client)
    code = newest_code(outbox)
    clock.move(hours=1)
    assert "incorrect" in help_of(type_code(client, code), "code")
    client.post("/auth/confirm")
    assert newest_code(outbox) != code
    clock.move(minutes=59)
    assert type_code(client, newest_code(outbox)).location == HOME


def test_confirmation_code_works_once_and_for_one_account(client, another_client, outbox):
    register(client)
    code = newest_code(outbox)
    register(another_client, "bob@example.com", "bob")
    assert newest_code(outbox) != code
    assert "incorrect" in help_of(type_code(another_client, code), "code")
    assert type_code(client, code).location == HOME
    assert type_code(client, code).location == HOME
    eve, bob = User.find("eve"), User.find("bob")
    assert (eve.confirmed, bob.confirmed, has_happened("confirmed")) == (True, False, 1)
    eve.confirmed = False  # no code path does this; the code stays used all the same
    db.session.commit()
    assert "incorrect" in help_of(type_code(client, code), "code")


@pytest.mark.parametrize("is_right", [True, False])
def test_of_twenty_codes_at_once_five_count_and_one_confirms(app, bob, outbox, is_right):
    browsers = [app.test_client() for _ in range(20)]
    for browser in browsers:
        browser.log_in(bob)
    browsers[0].post("/auth/confirm")
    code = newest_code(outbox)
    typed = code if is_right else wrong(code)
    answers = set(at_once(lambda browser: type_code(browser, typed).status_code, browsers))
    assert answers <= ({302, 422} if is_right else {422})
    assert (bob.confirmed, has_happened("confirmed")) == (is_right, int(is_right))
    assert db.session.scalar(select(EmailChallenge.attempts)) in (range(1, 6) if is_right else [5])
    if not is_right:
        assert "incorrect" in help_of(type_code(browsers[0], code), "code")


def test_no_confirmation_code_exists_without_an_email(app, outbox):
    """An attacker registers a victim's address, tries codes, corrects the address, and registers it again."""
    for number in range(12):
        browser = app.test_client()
        register(browser, "eve@example.com", f"eve{number}")
        code = db.session.scalar(select(func.count()).where(EmailChallenge.email == "eve@example.com"))
        browser.post("/auth/unconfirmed", data={"email": f"junk{number}@example.com"})
    assert code == 10
    assert len([email for email in outbox() if email.recipients == ["eve@example.com"]]) <= 10
