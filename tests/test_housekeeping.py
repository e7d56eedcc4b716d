"""Once a day: what is out of date goes, not a moment sooner, and by one process of many."""

import contextvars
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from clients import PASSWORD
from mail_server import until
from sqlalchemy import event, func, select
from test_gate import addresses, rows

from app import delivery, mail
from app.accounts import housekeeping
from app.delivery import Delivery
from app.extensions import db
from app.models import (
    Chore,
    Device,
    EmailChallenge,
    EmailChange,
    Event,
    Letter,
    PasskeyChallenge,
    SsoJourney,
    User,
    UserSession,
)

FORM = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
MOMENT = timedelta(microseconds=1)
YEAR = timedelta(days=365)


def count(model):
    return db.session.scalar(select(func.count()).select_from(model))


def session(user, at):
    return UserSession(user_id=user.id, method="password", remembered=False, expires_at=at)


def letter(user, at, status="sent"):
    return Letter(name="reset", recipient=user.email, user_id=user.id, message_id="x", status=status, done_at=at)


LIMITS = {
    "sessions": (7, session),
    "challenges": (7, lambda user, at: EmailChallenge(purpose="reset", email=user.email, user=user, asked_at=at)),
    "challenges of nobody": (7, lambda user, at: EmailChallenge(purpose="reset", email="eve@example.com", asked_at=at)),
    "challenges of passkeys": (1, lambda user, at: PasskeyChallenge(purpose="sign_in", browser="x", asked_at=at)),
    "changes of address": (
        30,
        lambda user, at: EmailChange(user_id=user.id, old_email="x", old_email_key="x", new_email="y", changed_at=at),
    ),
    "letters sent": (30, letter),
    "letters given up": (30, lambda user, at: letter(user, at, "failed")),
    "letters dropped": (30, lambda user, at: letter(user, at, "obsolete")),
    "ways to a provider": (
        7,
        lambda user, at: SsoJourney(
            id=secrets.token_urlsafe(32), provider="x", nonce="x", code_verifier="x", user_id=user.id, started_at=at
        ),
    ),
    "history": (365, lambda user, at: Event(user_id=user.id, action="signed_in", at=at)),
    "history of nobody": (365, lambda user, at: Event(action="account_deleted", at=at)),
    "known browsers": (365, lambda user, at: Device(user_id=user.id, key="x", first_seen_at=at, last_seen_at=at)),
}


def test_each_kind_goes_when_its_time_is_over_and_not_before(ada, clock):
    """Both sides of each limit: one row that is as old as that, and one a moment younger."""
    made = {}
    for name, (days, make) in LIMITS.items():
        made[name] = [make(ada, clock.time - timedelta(days=days) + younger) for younger in (MOMENT, timedelta(0))]
        db.session.add_all(made[name])
    db.session.commit()
    young = {name: (type(pair[0]), pair[0].id) for name, pair in made.items()}
    counts = housekeeping.run()
    assert {name for name, (model, key) in young.items() if not db.session.get(model, key)} == set()
    assert {model: count(model) for model in housekeeping.OUT_OF_DATE} == {
        UserSession: 1, EmailChallenge: 2, PasskeyChallenge: 1, SsoJourney: 1, EmailChange: 1, Letter: 3, Event: 2,
        Device: 1,
    }  # fmt: skip
    assert (counts["events"], counts["outbox"], counts["accounts"], User.find("ada")) == (2, 3, 0, ada)

    clock.time += MOMENT
    assert sum(housekeeping.run().values()) == len(LIMITS)
    assert sum(housekeeping.run().values()) == 0


def test_a_letter_that_waits_never_goes(ada, letters, clock):
    for _ in range(2):
        mail.send("reset", ada)
    db.session.flush()
    db.session.get(Letter, 1).done_at = clock.time  # given up once, and retried by an operator
    db.session.commit()
    clock.move(days=400)
    assert housekeeping.run()["outbox"] == 0
    assert len(letters()) == 2
    clock.move(days=30)
    assert housekeeping.run()["outbox"] == 2


def test_who_never_confirmed_goes_after_a_week_with_all_that_is_theirs_and_no_letter(client, ada, letters, clock):
    before = rows()
    client.post("/auth/register", data=FORM)
    client.post("/auth/login", data={"login": "eve", "password": "wrong"})
    letters()
    clock.move(days=7, microseconds=-1)
    assert housekeeping.run()["accounts never confirmed"] == 0
    assert User.find("eve")
    clock.time += MOMENT
    assert housekeeping.run()["accounts never confirmed"] == 1
    assert len(letters()) == 1, "theirs, of a week ago"
    after = rows()
    assert [line.action for line in after.pop("events")] == ["account_deleted"]
    del before["events"]
    assert after == before
    assert "Hello, stranger." in client.get("/").text
    assert client.post("/auth/register", data=FORM).status_code == 302


@pytest.mark.parametrize("settings", [{"HIDE_ACCOUNTS": True}])
def test_accounts_that_nobody_can_have_go_too_and_their_names_are_free(client, another_client, ada, letters, clock):
    client.post("/auth/register", data=FORM | {"email": "ada@example.com"})
    assert User.find("eve").email.endswith("@invalid")
    clock.move(days=7)
    assert housekeeping.run()["accounts never confirmed"] == 1
    assert db.session.scalars(select(User.username)).all() == ["ada"]
    another_client.post("/auth/register", data=FORM)
    assert User.find("eve").email == "eve@example.com"
    assert not [sent for sent in letters() if "invalid" in sent.recipients[0]]


def test_more_rows_than_a_transaction_takes_go_in_several(ada, clock, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    db.session.add_all([Event(user_id=ada.id, action="signed_in", at=clock.time - YEAR) for _ in range(8)])
    db.session.add_all([session(ada, clock.time - YEAR) for _ in range(6)])
    db.session.commit()
    deleted = []

    def note(*call):
        deleted.extend(["row"] * call[1].rowcount if call[2].startswith("DELETE FROM events") else [])

    event.listen(db.engine, "after_cursor_execute", note)
    event.listen(db.engine, "commit", lambda _: deleted.append("commit"))
    counts = housekeeping.run()
    assert (counts["events"], counts["user_sessions"], count(Event), count(UserSession)) == (8, 6, 0, 0)
    assert "".join(each[0] for each in deleted).strip("c").split("c") == ["rrr", "rrr", "rr"]


# By whom, and when


def test_one_of_many_does_it_and_again_after_a_day(app, clock):
    def claim(_):
        with app.app_context():
            return Chore.claim("housekeeping")

    def at_once():
        with ThreadPoolExecutor(6) as pool:
            return sum(pool.map(lambda number: contextvars.Context().run(claim, number), range(6)))

    assert at_once() == 1
    clock.move(days=1, microseconds=-1)
    assert at_once() == 0
    clock.time += MOMENT
    assert Chore.claim("another"), "each chore has its own day"
    assert at_once() == 1


def test_within_a_day_it_is_done_once(ada, clock, caplog):
    caplog.set_level("INFO", "app.accounts.housekeeping")
    for hour in range(25):
        db.session.add(session(ada, clock.time - YEAR))
        db.session.commit()
        housekeeping.daily()
        assert count(UserSession) == hour % 24
        clock.move(hours=1)
    said = [record.getMessage() for record in caplog.records if record.name == "app.accounts.housekeeping"]
    assert ["1 user_sessions, " in words for words in said] == [True, False]
    assert "24 user_sessions, " in said[1]


@pytest.fixture
def thread(app, monkeypatch):
    """Start the thread that delivers with these chores, or with its own. It looks again at once."""
    monkeypatch.setattr(delivery, "PAUSE", 0.01)
    started = []

    def start(chores=None):
        started.append(Delivery(app, chores) if chores else app.extensions["delivery"])
        started[-1].start()

    yield start
    for each in started:
        each.stop(wait=5)


def test_the_thread_that_delivers_does_it(thread, ada, clock):
    db.session.add(session(ada, clock.time - YEAR))
    ada.deletion_due_at = clock.time
    db.session.commit()
    thread()
    until(lambda: db.session.rollback() or count(User) + count(UserSession) + count(Letter) == 0)


@pytest.mark.parametrize(("hour", "times"), [(3600, 1), (0, 3)])
def test_it_looks_once_an_hour_and_goes_on_delivering_when_that_fails(thread, ada, letters, monkeypatch, hour, times):
    monkeypatch.setattr(delivery, "HOUR", hour)
    asked = []

    def fail():
        asked.append(db.engine)
        raise RuntimeError("the chores")

    thread(fail)
    until(lambda: len(asked) >= times)
    mail.send("reset", ada)
    db.session.commit()
    until(lambda: len(letters) == 1)
    assert len(asked) == 1 or hour == 0


def test_no_request_does_it(app, client, another_client, ada, bob, clock):
    db.session.add_all([make(ada, clock.time - YEAR) for _, make in LIMITS.values()])
    bob.created_at = ada.deletion_due_at = clock.time - YEAR
    db.session.commit()
    before = {name: len(found) for name, found in rows().items()}
    for _, address in addresses(app, "GET"):
        client.get(address).close()
    assert {name: len(found) for name, found in rows().items()} == before
    another_client.post("/auth/login", data={"login": "bob", "password": PASSWORD})
    assert (count(User), count(Chore), count(EmailChallenge)) == (2, 0, 2)
