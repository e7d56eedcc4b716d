"""Enumeration: responses to known and unknown names are alike, and so is the work behind them.

A visitor does the same with several names of the same length. The tests compare status, headers, cookie, page, SQL
statements and password hashes, without random values and the name.
"""

import re
import threading
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from flask import request, session
from sqlalchemy import event, text
from support.clients import PASSWORD, on_sqlite, without_tokens

from app.extensions import db
from app.models import User
from app.security import hashing
from app.security.rate_limits.counters import shared_counters

pytestmark = on_sqlite  # what a page shows depends on no database

PREVENTED = pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
RANDOM = {"csrf_token", "challenge_id", "_user_id"}  # in the cookie


class Answer(NamedTuple):
    status: int
    cookie: dict
    page: str
    headers: list
    work: list


class Stranger:
    """A browser and the name that is tried in it; `seen` has the responses, `known` the random values so far."""

    def __init__(self, app, name, work):
        self.app, self.name, self.work = app, name, work
        self.browser, self.seen, self.known = app.test_client(), [], []
        self.browser.environ_base["REMOTE_ADDR"] = str(ip_address("198.18.0.0") + int.from_bytes(name.encode()) % 2**16)

    def get(self, path):
        return self._ask("GET", path)

    def post(self, path, **fields):
        return self._ask("POST", path, {name: value.format(self.name) for name, value in fields.items()})

    def _ask(self, method, path, form=None):
        self.work.clear()
        answer = self.browser.open(path, method=method, data=form)
        work = list(self.work)
        self.seen.append(Answer(answer.status_code, self._cookie(), self._page(answer), self._headers(answer), work))
        return self

    def _headers(self, answer):
        """Return the headers without the request id; _cookie() reads the value of the cookie."""
        sent = [(name, value) for name, value in answer.headers if name != "X-Request-ID"]
        return [(name, re.sub(r"^session=[^;]+", "session=…", value)) for name, value in sent]

    def _cookie(self):
        """Return what the browser's cookie reveals: it is signed, not encrypted."""
        cookie = self.browser.get_cookie("session")
        serializer = self.app.session_interface.get_signing_serializer(self.app)
        return cookie and self._without_random(serializer.loads(cookie.value))

    def _without_random(self, value, name=None):
        if isinstance(value, dict):
            return {key: self._without_random(inner, key) for key, inner in value.items()}
        return self._number(value) if name in RANDOM else self._without_name(value)

    def _number(self, value):
        """Return the index of a random value among those seen so far: keeping one or getting another is visible."""
        self.known += [] if value in self.known else [value]
        return self.known.index(value)

    def _page(self, answer):
        return self._without_name(without_tokens(answer))

    def _without_name(self, value):
        return re.sub(rf"\b{self.name}(?=\b|\d)", "…", value) if isinstance(value, str) else value


@pytest.fixture
def work(app, monkeypatch):
    """Record the SQL statements and password hashes of requests, which run in the thread of the test."""
    done, mine = [], threading.get_ident()

    def note(what):
        if threading.get_ident() == mine:
            done.append(what)

    shared_counters().storage.incr("something", 1)  # and so does what is done once a minute
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *call: note(call[2]))
    for ending in ("commit", "rollback"):
        event.listen(db.engine, ending, lambda _, ending=ending: note(ending))
    check, generate = hashing.check_password_hash, hashing.generate_password_hash
    monkeypatch.setattr(
        hashing, "check_password_hash", lambda *given: done.append(f"check {given[0][:5]}") or check(*given)
    )
    monkeypatch.setattr(
        hashing, "generate_password_hash", lambda *given: done.append(f"hash {given[1]}") or generate(*given)
    )
    return done


@pytest.fixture
def stranger(app, work, clock):
    """Make visitors who all start at the same time."""
    begun = clock.time

    def make(name):
        clock.time = begun
        return Stranger(app, name, work)

    return make


@pytest.fixture
def ida(client, outbox, clock):
    """A user who changed her address from ida@example.com two days ago, so that it is reserved."""
    person = User(email="ida@example.com", username="ida", password=PASSWORD, confirmed=True)
    db.session.add(person)
    db.session.commit()
    clock.move(days=-2)
    client.log_in(person)
    client.post("/auth/change-email", data={"email": "elsewhere@example.com", "password": PASSWORD})
    assert client.get(outbox.link(0)).location == "/account"
    clock.move(days=2)
    return person


def assert_alike(first, *others):
    """Compare response by response, in each respect."""
    for other in others:
        assert len(first) == len(other)
        for number, (one, another) in enumerate(zip(first, other, strict=True), 1):
            for respect, this, that in zip(Answer._fields, one, another, strict=True):
                assert this == that, f"{respect} of answer {number}"


# Logging in


@pytest.fixture
def accounts(ada, bob):
    """Make accounts of every kind, with names of the same length."""
    for name, changes in {"kim": {"password_hash": None}, "max": {"deactivated_at": ada.created_at}}.items():
        person = User(email=f"{name}@example.com", username=name, password=PASSWORD, confirmed=True)
        for column, value in changes.items():
            setattr(person, column, value)
        db.session.add(person)
    db.session.commit()
    return ["ada", "bob", "kim", "max"]


@pytest.mark.parametrize("login", ["{}", "{}@example.com"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"PREVENT_ENUMERATION": True}, {"VERIFY_NEW_DEVICES": True}],
    ids=["open", "hidden", "devices verified"],
)
def test_logging_in_by_a_wrong_password(stranger, accounts, login):
    """Beyond the limit, too, and then with the right password."""

    def story(name):
        it = stranger(name).get("/auth/login")
        for password in [*["wrong"] * 6, PASSWORD]:
            it.post("/auth/login", login=login, password=password, remember_me="y")
        return it.seen

    nobody = story("eve")
    assert [answer.status for answer in nobody] == [200, *[422] * 5, 429, 429]
    expected = "a question about blocks, two counts, a question, a hash, a line of history, and the end"
    assert len(nobody[2].work) == 7, expected
    assert_alike(nobody, *map(story, accounts))


@PREVENTED
@pytest.mark.parametrize("login", ["{}", "{}@example.com"])
def test_with_enumeration_prevented_the_password_of_an_unconfirmed_one_is_wrong_too(stranger, bob, login):
    def story(name):
        return stranger(name).post("/auth/login", login=login, password=PASSWORD).get("/account").seen

    assert_alike(story("eve"), story("bob"))


# Emails


@pytest.mark.parametrize(
    ("address", "next_page"), [("/auth/reset", "/auth/email-sent"), ("/auth/magic-link", "/auth/magic-link/sent")]
)
def test_asking_for_an_email(stranger, accounts, clock, address, next_page):
    """Beyond the email budget, too."""

    def story(name):
        it = stranger(name).get(address).post(address, email="{}@example.com").get(next_page)
        for _ in range(10):
            clock.move(minutes=1)
            it.post(address, email="{}@example.com")
        return it.get(next_page).seen

    nobody = story("eve")
    assert [answer.status for answer in nobody] == [200, 302, 200, *[302] * 10, 200]
    wrote = ["INSERT INTO outbox" in " ".join(answer.work) for answer in nobody if answer.status == 302]
    assert wrote == [*[True] * 10, False]
    assert_alike(nobody, *map(story, accounts))


def test_asking_for_a_magic_link_again_when_emails_go_once_more(stranger, accounts, clock):
    """The first email is over the budget, the second is not."""

    def story(name):
        other = stranger(name)
        for _ in range(10):
            other.post("/auth/reset", email="{}@example.com")
        clock.move(minutes=50)
        it = Stranger(other.app, name, other.work).post("/auth/magic-link", email="{}@example.com")
        clock.move(minutes=10)
        return it.post("/auth/magic-link/sent", again="y").get("/auth/magic-link/sent").seen

    assert_alike(story("eve"), *map(story, accounts))


def test_waiting_for_a_magic_link_and_typing_a_wrong_code(stranger, accounts, clock):
    """Six attempts, of which five count; then another email, too soon and in time, and its code."""

    def story(name):
        it = stranger(name).post("/auth/magic-link", email="{}@example.com", remember_me="y")
        page = "/auth/magic-link/sent"
        it.get(page)
        for _ in range(6):
            it.post(page, code="1234 5678")
        it.post(page, again="y").get(page)
        clock.move(minutes=1)
        it.post(page, again="y").get(page).post(page, code="12345678")
        clock.move(minutes=15)
        return it.get(page).post(page, code="12345678").get("/auth/magic-link/abc").get("/account").seen

    nobody = story("eve")
    assert "This code is incorrect" in nobody[2].page
    assert "is incorrect or has expired" in nobody[7].page
    assert_alike(nobody, *map(story, accounts))


def test_waiting_for_an_email_that_goes_out_later(stranger, accounts, clock, outbox):
    """The age of a code counts from its email, also if no email was sent."""

    def story(name):
        it = stranger(name).post("/auth/magic-link", email="{}@example.com")
        clock.move(seconds=30)
        outbox()
        clock.move(minutes=14, seconds=45)
        return it.post("/auth/magic-link/sent", code="12345678").seen

    assert_alike(story("eve"), *map(story, accounts))


@pytest.mark.parametrize("form", [{"code": "12345678"}, {"again": "y"}], ids=lambda form: next(iter(form)))
def test_waiting_while_the_owner_gets_in_another_way(stranger, ada, clock, another_client, form):
    """A visitor who asked for another user's link learns neither from the page nor from the cookie when it is used."""

    def story(name):
        it = stranger(name).post("/auth/magic-link", email="{}@example.com")
        another_client.post("/auth/login", data={"login": name, "password": PASSWORD})
        another_client.post("/auth/logout")
        clock.move(minutes=1)
        return it.get("/auth/magic-link/sent").post("/auth/magic-link/sent", **form).get("/auth/magic-link/sent").seen

    assert_alike(story("eve"), story("ada"))


# Registration and change of address with PREVENT_ENUMERATION

LANTERNS = "lanterns in a row"
FORM = {"email": "{}@example.com", "username": "{}77", "password": LANTERNS, "confirm_password": LANTERNS}


@pytest.fixture
def addresses(accounts, ida):
    """Return addresses that nobody can register."""
    return [*accounts, "ida"]


@PREVENTED
def test_registering(stranger, addresses):
    def story(name):
        it = stranger(name).get("/auth/register")
        it.post("/auth/register", **FORM).get("/auth/email-sent").get("/").get("/auth/unconfirmed")
        return it.post("/auth/login", login="{}@example.com", password="lanterns in a row").seen

    new = story("eve")
    assert "INSERT INTO users" in " ".join(new[1].work)
    assert "We sent an email to" in new[2].page
    assert_alike(new, *map(story, addresses))


@PREVENTED
def test_registering_twice_with_the_name_that_was_chosen_the_first_time(stranger, addresses):
    """The username is taken or not, whatever happened to the address."""

    def story(name):
        it = stranger(name).post("/auth/register", **FORM)
        it.post("/auth/register", **FORM)
        return it.post("/auth/register", **FORM | {"email": "other-{}@example.com"}).seen

    assert_alike(story("eve"), *map(story, addresses))


@PREVENTED
def test_registering_where_no_more_emails_go(stranger, addresses):
    def story(name):
        it = stranger(name)
        for _ in range(10):
            it.browser.post("/auth/reset", data={"email": f"{name}@example.com"})
        return it.post("/auth/register", **FORM).get("/auth/email-sent").seen

    assert_alike(story("eve"), *map(story, addresses))


@PREVENTED
def test_changing_ones_address_to_anothers(stranger, addresses, ada):
    def story(name):
        it = stranger(name)
        it.browser.log_in(ada)
        it.get("/auth/change-email")
        for _ in range(11):
            it.post("/auth/change-email", email="{}@example.com", password=PASSWORD).get("/auth/email-sent")
        it.get("/account").get("/auth/change-email")
        it.browser.post("/auth/logout")  # the account page shows the number of sessions
        return it.seen

    free = story("eve")
    assert free[1].status == 302
    assert "We sent an email to" in free[2].page
    assert_alike(free, *(story(name) for name in addresses if name != "ada"))


# The comparison notices differences


def in_another_order(known):
    for question in ("SELECT 1", "SELECT 2")[:: -1 if known else 1]:
        db.session.execute(text(question))


FLAWS = [  # a leak of whether an address is known, and what differs then
    (lambda known, answer: setattr(answer, "status_code", 302 + known), "status"),
    (lambda known, answer: answer.headers.add("X-Hint", str(known)), "headers"),
    (lambda known, answer: known and answer.headers.add("X-Hint", "1"), "headers"),
    (lambda known, answer: session.update(hint=known), "cookie"),
    (lambda known, answer: session.pop("email_sent_to") if known else None, "cookie"),
    (lambda known, answer: answer.set_data(answer.get_data() + str(known)[:1].encode()), "page"),
    (lambda known, answer: known and db.session.execute(text("SELECT 1")), "work"),
    (lambda known, answer: in_another_order(known), "work"),
    (lambda known, answer: db.session.commit() if known else db.session.rollback(), "work"),
    (lambda known, answer: known and User(password=PASSWORD), "work"),
    (lambda known, answer: known and User().verify_password(PASSWORD), "work"),
]


@pytest.mark.parametrize(("flaw", "respect"), FLAWS)
def test_a_difference_is_seen(own_app, app, stranger, ada, flaw, respect):
    """Each leak is added to responses that are alike without it."""
    is_flawed = True

    @app.after_request
    def tell(answer):
        if is_flawed:
            db.session.connection()
            flaw(request.form["email"] == "ada@example.com", answer)
        return answer

    def story(name):
        return stranger(name).post("/auth/reset", email="{}@example.com").seen

    with pytest.raises(AssertionError, match=f"^{respect} of answer 1"):
        assert_alike(story("eve"), story("ada"))
    is_flawed = False
    assert_alike(story("eve"), story("ada"))


def test_an_answer_too_many_is_a_difference(stranger):
    with pytest.raises(AssertionError):
        assert_alike(stranger("eve").get("/").seen, stranger("ada").get("/").get("/").seen)
