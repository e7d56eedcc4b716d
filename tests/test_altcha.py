"""CAPTCHA=altcha: challenges that we make, solutions that are accepted once, and the way around it by email."""

import base64
import json

import pytest
from altcha import Challenge, Payload, create_challenge, solve_challenge
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from support.clients import PASSWORD, on_sqlite, value_of
from support.records import count
from support.registration import FORM

from app.accounts import registration
from app.extensions import db
from app.models import User
from app.security import hashing, signing
from app.security.hash_threads import Threads
from app.security.rate_limits import report
from app.security.token_purposes import TokenPurpose

OLD = {"login": "ada", "password": PASSWORD}
TICK = "Check the box to show that you are human."
BOX = '<altcha-widget id="captcha"'
pytestmark = [on_sqlite, pytest.mark.usefixtures("own_app")]


@pytest.fixture
def settings(more):
    return {"CAPTCHA": "altcha", "CAPTCHA_ALWAYS": True} | more


@pytest.fixture(autouse=True)
def _easy(monkeypatch):
    """Draw counters that Python reaches at once."""
    monkeypatch.setattr("app.security.proof_of_work.LEAST", 2)
    monkeypatch.setattr("app.security.proof_of_work.MOST", 4)


def solve(challenge):
    challenge = Challenge.from_dict(challenge)
    return Payload(challenge, solve_challenge(challenge)).to_base64()


def solution(client):
    return solve(client.get("/auth/captcha").json)


def log_in(client, answer):
    return client.post("/auth/login", data=OLD | {"captcha": answer})


def is_refused(page):
    assert page.status_code in {302, 422}
    return page.status_code == 422 and TICK in page.text and BOX in page.text


def own_challenge(secret, **changes):
    return create_challenge("PBKDF2/SHA-256", 1, hmac_secret=secret, **changes).to_dict()


def edited(answer, edit):
    payload = json.loads(base64.b64decode(answer))
    edit(payload)
    return base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(("address", "typed"), [("register", FORM), ("login", OLD)], ids=["register", "login"])
def test_solved_challenge_lets_the_form_pass_and_none_keeps_what_was_typed(client, ada, address, typed):
    page = client.post(f"/auth/{address}", data=typed)
    assert is_refused(page)
    kept = {name for name in ("email", "username", "login") if name in typed}
    assert {name: value_of(page, name) for name in kept} == {name: typed[name] for name in kept}
    assert PASSWORD not in page.text
    assert client.post(f"/auth/{address}", data=typed | {"captcha": solution(client)}).status_code == 302


def test_solution_is_accepted_once_however_it_is_written(client, another_client, ada):
    answer = solution(client)
    assert not is_refused(log_in(client, answer))
    spaced = answer[:8] + "\n" + answer[8:]
    longer = edited(answer, lambda payload: payload["solution"].update(more=1))
    for again in (answer, spaced, longer):
        assert is_refused(log_in(another_client, again))
    page = another_client.post("/auth/register", data=FORM | {"captcha": answer})
    assert is_refused(page)


@pytest.mark.parametrize("more", [{"RATELIMIT_ENABLED": False}])
def test_solution_is_accepted_once_without_rate_limits_too(client, another_client, ada):
    answer = solution(client)
    assert [is_refused(log_in(it, answer)) for it in (client, another_client)] == [False, True]


def test_refused_form_has_used_its_solution(client, ada):
    """Otherwise one solution would try any number of passwords."""
    answer = solution(client)
    wrong = client.post("/auth/login", data={"login": "ada", "password": "wrong", "captcha": answer})
    assert (wrong.status_code, TICK in wrong.text) == (422, False)
    assert is_refused(log_in(client, answer))


def test_solution_expires_after_20_minutes_and_its_use_is_known_for_longer(client, another_client, ada, clock):
    clock.move(minutes=-19, seconds=-50)
    answer = solution(client)
    clock.move(minutes=-1)
    expired = solution(client)
    clock.move(minutes=20, seconds=50)
    assert is_refused(log_in(client, expired))
    assert not is_refused(log_in(client, answer))
    clock.move(minutes=59)
    assert is_refused(log_in(another_client, answer))


def test_forged_solutions_are_refused(app, client, ada):
    keys = [b"guessed", app.config["SECRET_KEY"].encode(), signing.raw_keys(TokenPurpose.RESET)[0]]
    forged = [solve(own_challenge(key)) for key in keys]
    forged.append(solve(own_challenge(None)))
    right = solution(client)
    edits = [
        lambda it: it["challenge"]["parameters"].update(expiresAt=2**40),
        lambda it: it["challenge"]["parameters"].update(keyPrefix=""),
        lambda it: it["challenge"]["parameters"].update(cost=1),
        lambda it: it["challenge"]["parameters"].update(cost=float(it["challenge"]["parameters"]["cost"])),
        lambda it: it["challenge"]["parameters"].update(keyLength=32.0),
        lambda it: it["challenge"]["parameters"].update(algorithm="SHA-256"),
        lambda it: it["challenge"].update(signature=""),
        lambda it: it["challenge"].pop("signature"),
        lambda it: it["solution"].update(counter=it["solution"]["counter"] + 1),
        lambda it: it["solution"].update(counter=-1),
        lambda it: it["solution"].update(counter="1"),
        lambda it: it["solution"].update(derivedKey=it["challenge"]["parameters"]["keyPrefix"]),
        lambda it: it["solution"].update(derivedKey=None),
    ]
    for answer in [*forged, *(edited(right, edit) for edit in edits)]:
        assert is_refused(log_in(client, answer)), answer
    assert not is_refused(log_in(client, right)), "the attempts did not use it up"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "answer",
    [
        *("", "x", "x" * 8193, "=", "ä", "\ud7ff", encoded("null"), encoded("[]"), encoded("{}"), encoded('"x"')),
        encoded('{"challenge": [], "solution": {}}'),
        encoded('{"challenge": {"parameters": "x"}, "solution": "y"}'),
        encoded('{"challenge": {"parameters": []}, "solution": []}'),
        encoded("[" * 5000),
        encoded("9" * 5000),
        encoded('{"challenge":{"parameters":{"algorithm":1,"nonce":1,"salt":1,"cost":1e999,"expiresAt":NaN},"signature":[]},'
                '"solution":{"counter":1,"derivedKey":1}}'),
        base64.b64encode(b"\xff\xfe\x00").decode(),
    ],
)  # fmt: skip
def test_malformed_solution_is_refused(client, ada, answer):
    assert is_refused(log_in(client, answer))


def test_nul_in_a_solution_is_refused(client, ada):
    page = log_in(client, solution(client) + "\0")
    assert page.status_code == 422
    assert "This contains a character" in page.text


def test_solution_signed_with_a_fallback_key_is_accepted(app, client, another_client, ada):
    answer, other = solution(client), solution(client)
    former, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], "the new key, which is long enough for it"
    assert is_refused(log_in(client, other))
    app.config["SECRET_KEY_FALLBACKS"] = [former]
    assert not is_refused(log_in(another_client, answer))


def test_challenges_differ_and_browsers_ask_for_each(client):
    first, second = (client.get("/auth/captcha") for _ in range(2))
    assert first.json != second.json
    assert first.headers["Cache-Control"] == "no-cache"
    assert "Set-Cookie" not in first.headers


def test_used_solutions_are_no_limits(app, client, ada):
    assert not is_refused(log_in(client, solution(client)))
    assert not [entry for entry in report.entries() if entry.policy == "claim"]
    assert app.test_cli_runner().invoke(args=["limits", "clear"]).exit_code == 0
    assert count(User) == 1


@pytest.mark.parametrize("more", [{"CAPTCHA_ALWAYS": False}])
def test_only_pages_with_the_captcha_load_the_widget_and_none_allows_other_origins(client, ada):
    register, login, home = (client.get(path) for path in ("/auth/register", "/auth/login", "/"))
    assert [page.text.count("altcha.js") for page in (register, login, home)] == [1, 0, 0]
    assert ["altcha" in page.text for page in (login, home)] == [False, False]
    assert {page.headers["Content-Security-Policy"] for page in (register, login)} == {
        home.headers["Content-Security-Policy"]
    }
    for _ in range(3):
        page = client.post("/auth/login", data={"login": "ada", "password": "wrong"})
    assert BOX in page.text


def test_json_client_gets_the_captcha_error_as_json(client):
    answer = client.post("/auth/register", data=FORM, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json) == (422, {"errors": {"captcha": [TICK]}})


def test_errors_link_to_the_captcha(client):
    page = client.post("/auth/register", data=FORM | {"email": "x"})
    assert '<a href="#captcha">' in page.text
    assert BOX in page.text


@pytest.mark.parametrize("more", [{}, {"LOGIN_METHODS": ("password", "passkey")}], ids=["all", "no magic link"])
def test_page_says_what_to_do_without_javascript(client, more):
    words = client.get("/auth/register").text.partition('id="captcha"')[2].partition("<noscript>")[2]
    words = words.partition("</noscript>")[0]
    assert ("/auth/magic-link" in words, "Turn it on" in words) == (not more, bool(more))


# The way around it, for browsers without JavaScript


def link_to(client, outbox, email="eve@example.com"):
    client.post("/auth/magic-link", data={"email": email})
    return outbox.link(-1)


def test_emailed_link_opens_registration_without_the_captcha_for_its_address(client, another_client, outbox):
    link = link_to(client, outbox)
    assert link.startswith("/auth/register/")
    page = another_client.get(link)
    assert (value_of(page, "email"), BOX in page.text, page.headers["Cache-Control"]) == (
        "eve@example.com",
        False,
        "no-store",
    )
    assert f'action="{link}"' in page.text
    other = another_client.post(link, data=FORM | {"email": "mallory@example.com"})
    assert is_refused(other)
    assert another_client.post(link, data=FORM | {"email": "Eve@example.com"}).status_code == 302
    assert db.session.query(User).one().username == "eve"


def test_old_or_foreign_link_opens_registration_with_the_captcha(client, outbox, bob, clock):
    link = link_to(client, outbox)
    clock.move(hours=1)
    for address in (link, f"/auth/register/{bob.issue_token(TokenPurpose.CONFIRM)}", "/auth/register/x"):
        page = client.get(address)
        assert (value_of(page, "email"), BOX in page.text) == ("", True)
        assert is_refused(client.post(address, data=FORM))


@pytest.mark.parametrize("more", [{"PREVENT_ENUMERATION": True}])
def test_emailed_link_replaces_the_captcha_once(client, another_client, outbox):
    link = link_to(client, outbox)
    assert another_client.post(link, data=FORM | {"password": "x"}).status_code == 422, "an error doesn't use it up"
    assert another_client.post(link, data=FORM).status_code == 302
    assert another_client.post(link, data=FORM | {"username": "squatted"}).status_code == 410
    assert User.find("squatted") is None


def nobody_has_time_to_hash(app, monkeypatch):
    monkeypatch.setattr(hashing, "threads", Threads(1, max_calls=0))


def somebody_takes_the_username(app, monkeypatch):
    insert = registration._insert

    def after_another(new, **kwargs):
        monkeypatch.setattr(registration, "_insert", insert)
        with app.app_context():
            db.session.add(User(email="other@example.com", username=new.username))
            db.session.commit()
        return insert(new, **kwargs)

    monkeypatch.setattr(registration, "_insert", after_another)


def the_database_is_away(app, monkeypatch):
    def refuse(connection):
        raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    event.listen(db.engine, "commit", refuse)
    return lambda: event.remove(db.engine, "commit", refuse)


@pytest.mark.parametrize("more", [{}, {"PREVENT_ENUMERATION": True}], ids=["open", "hidden"])
@pytest.mark.parametrize(
    ("failure", "status"),
    [(nobody_has_time_to_hash, 503), (somebody_takes_the_username, 422), (the_database_is_away, 503)],
)
def test_failed_registration_does_not_use_up_the_emailed_link(
    app, client, another_client, outbox, monkeypatch, failure, status
):
    link = link_to(client, outbox)
    with monkeypatch.context() as patch:
        undo = failure(app, patch)
        assert another_client.post(link, data=FORM).status_code == status
    if undo:
        undo()
    assert another_client.post(link, data=FORM | {"username": "eve2"}).status_code == 302
    assert User.find("eve2")
    assert client.post(link, data=FORM | {"username": "squatted"}).status_code in {410, 422}
    assert User.find("squatted") is None


def test_link_for_registration_serves_no_other_purpose(client, outbox, ada):
    token = link_to(client, outbox).rpartition("/")[2]
    for path in ("magic-link", "reset", "confirm", "change-email"):
        assert client.get(f"/auth/{path}/{token}").status_code == 410, path


@pytest.mark.parametrize("more", [{"CAPTCHA": "off", "CAPTCHA_ALWAYS": False}])
def test_without_a_captcha_there_are_no_pages_of_it(client, outbox, ada):
    assert link_to(client, outbox) == "/auth/register"
    assert [client.get(path).status_code for path in ("/auth/captcha", "/auth/register/x")] == [404, 404]


def test_doctor_has_no_service_to_ask(app):
    shown = app.test_cli_runner().invoke(args=["doctor"]).output
    assert "CAPTCHA: CAPTCHA is altcha, which asks no service" in shown
