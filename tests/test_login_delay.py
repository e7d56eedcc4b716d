"""The login delay: it grows with wrong passwords for one name, from any network; known devices are exempt."""

import json
import re
from itertools import count

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite
from support.guesses import guess, known, statuses

from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail
from app.security import login_delay

SUBJECT = "Someone is trying to guess your Flasky password"


@pytest.fixture(autouse=True)
def still(clock):
    """All happens at one moment, unless a test moves the clock."""


@pytest.fixture
def anywhere(browser_at):
    """Make a browser_at in a network that nobody has used before."""
    numbers = count()
    return lambda: browser_at(f"2001:db8:{next(numbers):x}::1")


@pytest.fixture
def guessed(anywhere, ada):
    """An account of which ten passwords were guessed wrong, each from another network: the first delay is in force."""
    assert statuses(guess(anywhere()) for _ in range(10)) == [422] * 10
    return ada


@pytest.mark.extended
def test_login_delay_stops_guesses_from_many_networks(anywhere, ada, clock):
    answers = []
    for _ in range(300):
        answers.append(guess(anywhere()).status_code)
        clock.move(seconds=1)
    assert answers[:10] == [422] * 10
    assert answers.count(422) == 10 + 8, "after 1, 2, 4, 8, 16, 32, 64 and 128 seconds"
    assert set(answers[10:]) == {422, 429}


def test_login_delay_doubles_up_to_an_hour_and_expires_after_a_day(anywhere, guessed, clock):
    waits = []
    for _ in range(15):
        refused = guess(anywhere())
        assert refused.status_code == 429
        waits.append(int(refused.headers["Retry-After"]))
        clock.move(seconds=waits[-1])
        assert guess(anywhere()).status_code == 422
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]
    clock.move(days=1, seconds=1)
    assert statuses(guess(anywhere()) for _ in range(10)) == [422] * 10
    assert guess(anywhere()).headers["Retry-After"] == "1"


def test_right_password_on_an_unknown_device_waits_and_is_offered_a_magic_link(anywhere, guessed, outbox):
    page = guess(anywhere(), password=PASSWORD)
    assert page.status_code == 429
    assert "Too many incorrect passwords were entered for this account. Try again in 1 second" in page.text
    assert "Email me a login link" in page.text
    owner = anywhere()
    owner.post("/auth/magic-link", data={"email": guessed.email})
    assert owner.get(outbox.link()).location == "/"


def test_too_many_passwords_lose_neither_the_name_nor_the_page_to_return_to(client, ada, outbox):
    names = {"login": "ada@example.com", "password": "wrong"}
    for _ in range(6):
        page = client.post("/auth/login?next=/auth/history", data=names)
    assert page.status_code == 429
    link, again = re.findall(r"<button class=\"btn [^>]*>", page.text)[-2:]
    [there] = re.findall(r'formaction="([^"]+)"', link)
    assert "formaction" not in again
    assert '<input type="hidden" name="login" value="ada@example.com">' in page.text
    sent = client.post(there, data={"login": "ada@example.com"})
    assert sent.location == "/auth/magic-link/sent"
    assert client.get(outbox.link()).location == "/auth/history"


def test_known_device_is_not_delayed(anywhere, ada, clock):
    owner = known(anywhere())
    for _ in range(10):
        guess(anywhere())
    assert guess(anywhere(), password=PASSWORD).status_code == 429
    owner.environ_base["REMOTE_ADDR"] = "2001:db8:ffff::1"
    assert statuses([guess(owner), guess(owner, password=PASSWORD)]) == [422, 302]


def test_successful_login_does_not_reset_the_login_delay(anywhere, ada):
    for _ in range(9):
        guess(anywhere())
    assert statuses(guess(anywhere(), password=PASSWORD) for _ in range(5)) == [302] * 5
    assert statuses([guess(anywhere()), guess(anywhere())]) == [422, 429]


def test_refused_attempts_do_not_lengthen_the_login_delay(anywhere, guessed, clock):
    for _ in range(50):
        assert guess(anywhere()).status_code == 429
    clock.move(seconds=1)
    assert guess(anywhere(), password=PASSWORD).status_code == 302


def test_login_delay_counts_spellings_together_but_username_and_email_apart(anywhere, guessed):
    assert statuses([guess(anywhere(), "ADA"), guess(anywhere(), " ada ")]) == [429, 429]
    assert guess(anywhere(), "ada@example.com").status_code == 422, "else it would tell whose address that is"


def test_concurrent_attempts_before_the_first_delay_do_not_block_each_other(app, clock):
    """The one that read the clock first may come to the database last."""
    login_delay.start_attempt("x")
    login_delay.start_attempt("x")
    clock.move(seconds=-1)
    assert login_delay.start_attempt("x").failures == 3


def test_undoing_an_attempt_keeps_the_delay_of_a_later_one(app, clock):
    for _ in range(9):
        login_delay.start_attempt("x")
    slow = login_delay.start_attempt("x")
    clock.move(seconds=1)
    login_delay.start_attempt("x")
    login_delay.undo(slow)
    with pytest.raises(login_delay.Delayed):
        login_delay.start_attempt("x")


def test_owner_is_notified_of_guessing_once_a_day(anywhere, ada, outbox, clock):
    def guess_for(hours):
        for _ in range(hours):
            guess(anywhere())
            clock.move(hours=1)
        return [email.subject for email in outbox() if email.subject == SUBJECT]

    for _ in range(9):
        guess(anywhere())
    assert guess_for(0) == []
    assert guess_for(24) == [SUBJECT]
    assert guess_for(24) == [SUBJECT] * 2
    assert "once a day" in outbox[-1].body
    assert outbox[-1].recipients == [ada.email]


def test_owner_is_not_notified_of_few_guesses(anywhere, ada, outbox, clock):
    for _ in range(20):
        guess(anywhere())
        clock.move(days=1, hours=1)
    assert outbox() == []


@pytest.mark.parametrize("login", ["bob", "nobody"])
def test_guessing_notice_goes_to_confirmed_addresses_only(anywhere, bob, outbox, login):
    before = len(outbox())
    for _ in range(10):
        guess(anywhere(), login)
    assert guess(anywhere(), login).status_code == 429
    assert len(outbox()) == before
    [row] = db.session.scalars(select(OutboxEmail).where(OutboxEmail.name == Email.PASSWORD_GUESSING))
    assert (row.status, row.user_id) == ("obsolete", None)


def test_limits_show_names_no_end_of_a_delay_that_has_not_begun_or_is_over(app, anywhere, ada, clock):
    def shown(*options):
        run = app.test_cli_runner(catch_exceptions=False).invoke
        lines = run(args=["limits", "show", "ada", *options]).stdout.splitlines()
        return next(line for line in lines if re.search(r"login_delay .* of |login_delay.*count", line))

    guess(anywhere())
    assert re.match(r"counted {29}login_delay +1 of 10 ", shown())
    assert json.loads(shown("--json"))["until"] is None
    for _ in range(9):
        guess(anywhere())
    assert re.match(r"refused  until \d{4}-\d\d-\d\d \d\d:\d\d UTC login_delay +10 of 10 ", shown())
    clock.move(hours=1)
    assert re.match(r"counted {29}login_delay +10 of 10 ", shown())


@on_sqlite
def test_limits_clear_ends_the_login_delay(app, anywhere, guessed):
    run = app.test_cli_runner(catch_exceptions=False).invoke
    assert "flask limits clear ada" in run(args=["users", "why", "ada"]).output
    assert "login_delay" in run(args=["limits", "show", "ada"]).output
    run(args=["limits", "clear", "ada"])
    assert guess(anywhere(), password=PASSWORD).status_code == 302
