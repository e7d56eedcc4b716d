"""Rate limits: what is refused, what counts together, and what is exempt."""

import logging
import re
from collections import Counter
from datetime import timedelta
from itertools import product

import pytest
from limits import parse
from sqlalchemy import event, func, select, text, update
from support.clients import PASSWORD, ROOT, hidden_fields, on_sqlite, without_tokens
from support.guesses import guess, known, statuses
from support.routes import our_rules
from support.sso import travel

from app.extensions import db
from app.models import AuditAction, AuditEvent, Device, LoginDelay, OutboxEmail, RateLimitCounter, User, UserSession
from app.security import rate_limits
from app.security.rate_limits import database_storage, report
from app.security.rate_limits.counters import Counter as RateCounter
from app.security.rate_limits.counters import shared_counters
from app.security.rate_limits.policies import EVERYBODY, POLICIES, SITE_WIDE, by_network

FORM = {"password": PASSWORD, "confirm_password": PASSWORD}
RECAPTCHA = {"CAPTCHA": "recaptcha", "RECAPTCHA_PUBLIC_KEY": "public", "RECAPTCHA_PRIVATE_KEY": "private"}
EMAILS = {"/auth/reset": {}, "/auth/magic-link": {}, "/auth/register": {"username": "eve"} | FORM}


@pytest.fixture(autouse=True)
def still(clock):
    """All happens at one moment, unless a test moves the clock."""


def register(browser, number):
    name = f"person{number}"
    return browser.post("/auth/register", data={"email": f"{name}@example.com", "username": name} | FORM)


def test_login_allows_five_wrong_passwords_in_five_minutes(browser_at, ada, clock):
    stranger = browser_at()
    assert statuses(guess(stranger) for _ in range(7)) == [422] * 5 + [429] * 2
    assert guess(stranger, password=PASSWORD).status_code == 429, "the right one, too"
    clock.move(minutes=4, seconds=59)
    assert guess(stranger).status_code == 429
    clock.move(seconds=2)
    assert guess(stranger, password=PASSWORD).status_code == 302


def test_rate_limited_form_keeps_its_fields_and_says_how_long_to_wait(browser_at, ada, clock):
    stranger = browser_at()
    for _ in range(5):
        guess(stranger)
    clock.move(minutes=2)
    page = stranger.post("/auth/login?next=/account", data={"login": "ada", "password": "wrong", "remember_me": "y"})
    assert page.status_code == 429
    assert page.headers["Retry-After"] == "180"
    assert "Too many incorrect passwords were entered here. Try again in 3 minutes," in page.text
    held = hidden_fields(page)  # sent again by a second click, to the same URL
    assert (held["login"], held["remember_me"], "password" in held) == ("ada", "y", False)
    assert "wrong" not in without_tokens(page)
    assert 'data-wait="180">Log in' in page.text, "where JavaScript runs, the button counts down"


def test_rate_limit_answers_json_to_json_clients(browser_at, ada):
    stranger = browser_at()
    for _ in range(5):
        guess(stranger)
    answer = guess(stranger, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["error"]) == (429, "Too many attempts")
    assert "Try again in 5 minutes" in answer.json["advice"]
    assert answer.headers["Retry-After"] == "300"


def test_spellings_of_a_name_count_together_but_username_and_email_apart(browser_at, ada):
    stranger = browser_at()
    names = ["ada@example.com", "ADA@example.com", " ada@EXAMPLE.com ", "Ada@Example.Com", "ada@example.com"]
    assert statuses(guess(stranger, name) for name in names) == [422] * 5
    assert guess(stranger, "aDa@example.com").status_code == 429
    assert guess(stranger, "ada").status_code == 422, "else it would tell whose address that is"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:ffff::1", True),
        ("2001:db8::1", "2001:db8:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.2", False),
    ],
)
def test_ipv6_counts_by_64_and_48_networks(browser_at, ada, one, other, is_same):
    for _ in range(5):
        guess(browser_at(one))
    assert guess(browser_at(other)).status_code == (429 if is_same else 422)


def test_login_allows_thirty_wrong_passwords_per_network(browser_at, ada):
    stranger = browser_at()
    assert statuses(guess(stranger, f"person{number}") for number in range(31)) == [422] * 30 + [429]
    assert guess(stranger, password=PASSWORD).status_code == 429
    assert guess(browser_at("192.0.2.2"), password=PASSWORD).status_code == 302


def test_successful_login_neither_counts_nor_resets_the_failure_counter(browser_at, ada):
    for number in range(29):
        guess(browser_at(), f"person{number}")
    assert statuses(guess(browser_at(), password=PASSWORD) for _ in range(25)) == [302] * 25
    assert statuses([guess(browser_at(), "person30"), guess(browser_at(), "person31")]) == [422, 429]


def test_invalid_login_form_does_not_count_as_a_wrong_password(browser_at, ada):
    stranger = browser_at()
    assert statuses(guess(stranger, password="") for _ in range(40)) == [422] * 40
    assert guess(stranger, password=PASSWORD).status_code == 302


def test_forged_forwarding_headers_do_not_evade_the_login_limit(browser_at, ada):
    stranger = browser_at()
    forged = [{"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"} for number in range(200)]
    answers = Counter(statuses(guess(stranger, headers=headers) for headers in forged))
    assert answers == {422: 5, 429: 195}


@on_sqlite
@pytest.mark.parametrize("settings", [{"TRUSTED_PROXIES": 1}])
def test_rate_limits_count_the_network_named_by_the_trusted_proxy(browser_at, ada):
    stranger = browser_at("127.0.0.1")
    for number in range(5):
        guess(stranger, headers={"X-Forwarded-For": f"198.51.100.{number}, 192.0.2.1"})
    assert guess(stranger, headers={"X-Forwarded-For": "203.0.113.7, 192.0.2.1"}).status_code == 429
    assert guess(stranger, headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.7"}).status_code == 422


def test_known_device_logs_in_while_the_network_is_limited(browser_at, ada):
    owner = known(browser_at())
    for number in range(40):
        guess(browser_at(), "ada" if number < 6 else f"person{number}")
    assert guess(browser_at(), password=PASSWORD).status_code == 429
    assert statuses([guess(owner), guess(owner, password=PASSWORD)]) == [422, 302]


def test_known_device_has_five_attempts_of_its_own(browser_at, ada):
    owner = known(browser_at())
    assert statuses(guess(owner) for _ in range(6)) == [422] * 5 + [429]
    assert guess(browser_at(), password=PASSWORD).status_code == 302


def test_device_known_to_one_account_is_unknown_to_another(browser_at, ada):
    eve = browser_at()
    db.session.add(User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True))
    db.session.commit()
    known(eve, "eve")
    for _ in range(5):
        guess(browser_at())
    assert guess(eve).status_code == 429
    assert guess(eve, "eve", PASSWORD).status_code == 302


def test_forged_device_cookie_does_not_evade_the_login_limit(browser_at, ada):
    stranger = browser_at()
    answers = []
    for number in range(10):
        stranger.set_cookie("device", f"{number:043}")
        answers.append(guess(stranger))
    assert statuses(answers) == [422] * 5 + [429] * 5


def test_device_cookie_of_another_account_reveals_no_username(browser_at, ada, bob):
    owner, done = known(browser_at(), "bob"), []
    guess(owner, "nobody")  # what is done once a minute is done
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *call: done.append(call[2]))
    guess(owner, "ada")
    of_ada, done[:] = list(done), []
    guess(owner, "eve")
    assert done == of_ada
    assert any("JOIN" in statement for statement in of_ada)


def test_magic_link_logs_in_while_passwords_are_limited(browser_at, ada, outbox):
    owner = browser_at()
    for _ in range(6):
        guess(owner)
    owner.post("/auth/magic-link", data={"email": ada.email})
    assert owner.get(outbox.link()).location == "/"


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/auth/reauthenticate", {"password": "wrong"}),
        ("/auth/change-email", {"email": "new@example.com", "password": "wrong"}),
        ("/auth/change-password", {"old_password": "wrong", "password": "another lantern", "confirm_password": "x"}),
    ],
)
def test_wrong_passwords_of_logged_in_users_count_as_failed_logins(browser_at, ada, clock, address, form):
    thief = browser_at()
    guess(thief, password=PASSWORD)
    thief.delete_cookie("device")
    forged = {"login": "somebody else"}
    assert statuses(thief.post(address, data=form | forged) for _ in range(6)) == [422] * 5 + [429]
    assert guess(browser_at()).status_code == 429, "it is one count"
    clock.move(minutes=5, seconds=1)
    right = {name: PASSWORD if name in {"password", "old_password"} else value for name, value in form.items()}
    assert thief.post(address, data=right).status_code != 429


def test_refused_requests_count_for_no_other_limit(client, bob):
    def counts():
        return Counter({entry.policy: entry.count for entry in report.entries()})

    client.post("/auth/login", data={"login": "bob", "password": PASSWORD})
    for _ in range(30):
        client.post("/auth/unconfirmed", data={"code": "00000000"})
    before = counts()
    assert before["code"] == before["availability"] == 30
    assert client.post("/auth/unconfirmed", data={"code": "00000000"}).status_code == 429
    assert counts() - before == {"requests": 1}


def test_email_limit_does_not_use_up_password_attempts(browser_at, ada):
    thief = browser_at()
    guess(thief, password=PASSWORD)
    for number in range(60):
        browser_at().post("/auth/reset", data={"email": f"person{number}@example.com"})
    form = {"email": "new@example.com", "password": PASSWORD}
    assert statuses(thief.post("/auth/change-email", data=form) for _ in range(6)) == [429] * 6
    assert thief.post("/auth/reauthenticate", data={"password": "wrong"}).status_code == 422
    change = {"old_password": "wrong", "password": "another lantern", "confirm_password": "another lantern"}
    assert thief.post("/auth/change-password", data=change).status_code == 422


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_password_attempts_at_confirmation_are_limited(browser_at, outbox):
    register(browser_at(), 1)
    stranger, link = browser_at("192.0.2.2"), outbox.link()
    assert statuses(stranger.post(link, data={"password": "wrong"}) for _ in range(6)) == [422] * 5 + [429]
    failures = select(func.sum(AuditEvent.count)).where(AuditEvent.action == AuditAction.LOGIN_FAILED)
    assert db.session.scalar(failures) == 5
    assert browser_at().post(link, data={"password": PASSWORD}).location == "/"


@pytest.mark.extended
def test_registration_allows_sixty_per_hour_and_network(browser_at, app, clock):
    answers = [register(browser_at(), number) for number in range(61)]
    assert statuses(answers) == [302] * 60 + [429]
    assert answers[-1].headers["Retry-After"] == "3600"
    assert 'value="person60@example.com"' in answers[-1].text
    assert PASSWORD not in answers[-1].text
    assert register(browser_at("192.0.2.2"), 61).status_code == 302
    clock.move(hours=1, seconds=1)
    assert register(browser_at(), 62).status_code == 302


@pytest.mark.extended
def test_registration_attempts_that_reveal_accounts_are_limited(browser_at, ada):
    stranger = browser_at()
    form = {"email": ada.email, "username": "eve"} | FORM
    answers = Counter(statuses(stranger.post("/auth/register", data=form) for _ in range(310)))
    assert answers == {422: 300, 429: 10}


def test_email_allows_sixty_requests_per_hour_and_network_over_all_flows(browser_at, ada, clock):
    flows, answers = list(EMAILS.items()), []
    for number in range(61):
        address, form = flows[number % 2]
        answers.append(browser_at().post(address, data=form | {"email": f"person{number}@example.com"}))
    assert statuses(answers) == [302] * 60 + [429]
    assert register(browser_at(), 1).status_code == 429
    clock.move(hours=1, seconds=1)
    assert register(browser_at(), 1).status_code == 302


@pytest.mark.extended
@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_one_address_gets_ten_emails_an_hour_and_thirty_a_day(browser_at, ada, outbox, clock):
    def bomb(hour):
        for number in range(24):
            address, form = [*EMAILS.items()][number % 3]
            form = form | {"email": ["ada@example.com", "ADA@Example.com"][number % 2]}
            if "username" in form:
                form["username"] = f"eve{number}h{hour}"
            assert browser_at(f"192.0.2.{number}").post(address, data=form).status_code == 302
        return len([email for email in outbox() if email.recipients[0].lower() == ada.email])

    received = []
    for hour in range(5):
        received.append(bomb(hour))
        clock.move(hours=1, seconds=1)
    assert received == [10, 20, 30, 30, 30]


@pytest.mark.parametrize("settings", [RECAPTCHA])
@pytest.mark.parametrize(("name", "count", "minutes"), [("login", 1000, 5), ("registration", 600, 10)])
def test_site_wide_failures_show_the_captcha_to_unknown_devices(browser_at, ada, clock, name, count, minutes):
    owner, stranger = known(browser_at("192.0.2.2")), browser_at("192.0.2.3")
    rate = parse(SITE_WIDE[name])
    shared_counters().storage.incr(RateCounter(name, EVERYBODY, rate).key, rate.get_expiry(), count - 1)
    assert "g-recaptcha" not in stranger.get("/auth/login").text
    shared_counters().add([RateCounter(name, EVERYBODY, rate)])
    assert "g-recaptcha" in stranger.get("/auth/login").text
    assert "Check the box" in guess(stranger, password=PASSWORD).text
    assert "g-recaptcha" not in owner.get("/auth/login").text
    assert guess(owner, password=PASSWORD).status_code == 302
    clock.move(minutes=minutes, seconds=1)
    assert guess(stranger, password=PASSWORD).status_code == 302


@pytest.mark.parametrize("settings", [RECAPTCHA])
def test_site_wide_count_has_failures_only(browser_at, ada):
    counter = RateCounter("login", EVERYBODY, parse(SITE_WIDE["login"]))
    for password in ("wrong", PASSWORD, ""):
        guess(browser_at(), password=password)
    assert shared_counters().storage.get(counter.key) == 1


@on_sqlite
def test_site_wide_count_needs_a_captcha(browser_at, ada):
    guess(browser_at())
    assert not [entry for entry in report.entries() if entry.subject == EVERYBODY]


def test_pages_are_not_counted_and_a_login_leaves_three_counters(browser_at, ada):
    done, stranger = [], browser_at()
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *call: done.append(call[2]))
    for page in ("/", "/auth/login", "/auth/register", "/auth/reset", "/auth/magic-link"):
        stranger.get(page)
    assert done == []
    guess(stranger, password=PASSWORD)
    assert done
    rows = db.session.scalars(select(RateLimitCounter).where(RateLimitCounter.count > 0))
    left = {row.id.split("/")[-4]: row.count for row in rows}
    assert left == {"login_attempts": 1, "session": 1, "requests": 1}
    assert db.session.scalars(select(LoginDelay)).all() == []


def test_counters_hold_no_names_or_email_addresses(browser_at, ada):
    for login in ("ada", ada.email, "my password, by mistake"):
        guess(browser_at(), login)
    kept = [*db.session.scalars(select(RateLimitCounter.id)), *db.session.scalars(select(LoginDelay.id))]
    assert len(kept) == 3 + 3 + 2 + 3, "by name and network, twice; by network, twice; by name"
    assert not any(word in text for text in kept for word in ("ada", "example", "mistake"))


def test_expired_counters_are_deleted(browser_at, ada, clock, monkeypatch):
    for number in range(10):
        guess(browser_at(f"192.0.2.{number}"), f"person{number}")
    clock.move(minutes=6)
    monkeypatch.setattr(shared_counters().storage, "_next_sweep", 0)
    guess(browser_at())
    assert db.session.scalar(select(func.count()).select_from(RateLimitCounter)) == 4
    clock.move(days=1, minutes=6)
    monkeypatch.setattr(shared_counters().storage, "_next_sweep", 0)
    guess(browser_at())
    assert db.session.scalar(select(func.count()).select_from(LoginDelay)) == 1


def test_each_request_deletes_some_expired_counters_while_there_are_more(browser_at, ada, clock, monkeypatch):
    monkeypatch.setattr(database_storage, "MAX_SWEPT", 20)
    for number in range(10):
        guess(browser_at(f"198.51.100.{number}"), f"person{number}")
    clock.move(minutes=6)
    monkeypatch.setattr(shared_counters().storage, "_next_sweep", 0)
    kept = []
    for _ in range(2):
        guess(browser_at())
        kept.append(db.session.scalar(select(func.count()).select_from(RateLimitCounter)))
    assert kept == [40 + 4 - 20, 4]


def test_counting_goes_on_when_expired_rows_cannot_be_deleted(browser_at, ada, caplog, monkeypatch):
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE login_delays RENAME TO away"))
    try:
        monkeypatch.setattr(shared_counters().storage, "_next_sweep", 0)
        guess(browser_at())
    finally:
        with db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO login_delays"))
    assert db.session.scalar(select(func.count()).select_from(RateLimitCounter)) == 4
    assert "each process counts for itself" not in caplog.text


@pytest.mark.parametrize("settings", [{"RATELIMIT_ENABLED": False}])
def test_ratelimit_enabled_0_turns_rate_limits_off(app, browser_at, ada):
    assert statuses(guess(browser_at()) for _ in range(40)) == [422] * 40, "neither a limit nor a login delay"
    assert db.session.scalars(select(RateLimitCounter)).all() == []
    shown = app.test_cli_runner().invoke(args=["limits", "show"])
    assert (shown.exit_code, "nothing is limited" in shown.stderr) == (1, True)
    assert app.test_cli_runner().invoke(args=["users", "why", "ada"]).exit_code == 0


def test_each_process_counts_for_itself_while_the_storage_is_down(browser_at, ada, caplog, monkeypatch):
    """No 500, no login without limit, one warning a minute; and when they are back, they count again."""
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE rate_limit_counters RENAME TO away"))
    try:
        with caplog.at_level(logging.WARNING):
            assert statuses(guess(browser_at()) for _ in range(7)) == [422] * 5 + [429] * 2
            assert guess(browser_at("192.0.2.2"), password=PASSWORD).status_code == 302
        (warning,) = [record.message for record in caplog.records if record.name == "app.security.rate_limits.counters"]
        assert "each process counts for itself: " in warning
        assert "rate_limit_counters" in warning.partition(": ")[2]
    finally:
        with db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO rate_limit_counters"))
    monkeypatch.setattr(shared_counters(), "_retry_at", 0)  # it looks again every few seconds
    assert guess(browser_at("192.0.2.3")).status_code == 422
    assert db.session.scalar(select(func.count()).select_from(RateLimitCounter)) == 4


EXEMPT = {
    "it ends the user's own sessions": "logout revoke_device revoke_other_devices untrust_device",
    "it needs an emailed link, which works once": "reset_password secure_account use_magic_link",
    "it sets a cookie": "main.appearance decline_passkey",
    "it changes a column or two of the user's own account": "cancel_deletion main.language",
    "it needs reauthentication": """
        export delete unlink link_sso renew_codes add_passkey passkey remove_passkey set_up_authenticator
        remove_authenticator require_passkey stop_requiring_passkey remove_password
    """,
}


@on_sqlite
def test_every_view_with_a_form_has_a_rate_limit_or_a_reason_for_none(own_app, app):
    def take_order():
        """A view of an application built on this one."""

    take_order.__module__ = "app.orders"
    app.add_url_rule("/orders", "orders", take_order, methods=["POST"])
    taking = {rule.endpoint for rule in our_rules(app) if "POST" in rule.methods} | {"auth.sso_callback"}
    taking = {name for name in taking if not name.startswith("admin.")}  # administrators only, who authenticate first
    limited = {name for name in taking if hasattr(app.view_functions[name], "limits")}
    assert taking - limited == {
        name if "." in name else f"auth.{name}" for names in EXEMPT.values() for name in names.split()
    }


@on_sqlite
def test_view_with_an_unknown_policy_fails_at_import(app):
    with pytest.raises(LookupError, match="no policy"):
        rate_limits.rate_limited("orders")


def test_services_name_only_policies_that_exist():
    calls = re.compile(r"""(?:rate_limits\.)?\b(?:hit|allows)\(["'](\w+)""")
    named = {name for file in (ROOT / "app").rglob("*.py") for name in calls.findall(file.read_text("utf-8"))}
    assert "session" in named
    assert named <= POLICIES.keys()


def test_an_account_has_at_most_fifty_sessions(browser_at, ada, clock):
    first, second = browser_at(), browser_at()
    guess(first, password=PASSWORD)
    clock.move(minutes=10)
    guess(second, password=PASSWORD)
    clock.move(minutes=10)
    first.get("/account")  # seen last, though it is the oldest
    for number in range(49):
        assert guess(browser_at(f"192.0.2.{number % 2}"), password=PASSWORD).status_code == 302
    assert db.session.scalar(select(func.count()).where(*UserSession.active())) == 50
    assert first.get("/account").status_code == 200
    gone = second.get("/account", follow_redirects=True)
    assert "logged in on too many other devices" in gone.text


@pytest.mark.extended
def test_an_account_allows_thirty_logins_per_network(browser_at, ada):
    """Two hundred make no more sessions, devices and lines of history than thirty, and hash no more passwords."""
    answers = [guess(browser_at(), password=PASSWORD) for _ in range(200)]
    assert statuses(answers) == [302] * 30 + [429] * 170
    assert "There were too many logins to this account from here. Try again in 5 minutes" in answers[-1].text
    made = [db.session.scalar(select(func.count()).select_from(model)) for model in (UserSession, Device, AuditEvent)]
    assert made == [30, 30, 30 + 29]
    assert guess(browser_at("192.0.2.2"), password=PASSWORD).status_code == 302


def test_logins_by_all_methods_count_together(browser_at, ada, outbox):
    for _ in range(29):
        guess(browser_at(), password=PASSWORD)
    client = browser_at()
    client.post("/auth/magic-link", data={"email": ada.email})
    assert client.get(outbox.link()).location == "/"
    another = browser_at()
    another.post("/auth/magic-link", data={"email": ada.email})
    link = outbox.link()
    refused = another.get(link)
    assert (refused.status_code, "too many logins to this account" in refused.text) == (429, True)
    another.environ_base["REMOTE_ADDR"] = "192.0.2.2"
    assert another.get(link).location == "/", "it was not used up"


@pytest.mark.extended
def test_an_account_has_at_most_a_hundred_known_devices(browser_at, ada, clock):
    trusted = browser_at()
    guess(trusted, password=PASSWORD)
    db.session.execute(update(Device).values(trusted_until=clock.time + timedelta(days=30)))
    db.session.commit()
    for number in range(110):
        clock.move(seconds=1)
        assert guess(browser_at(f"192.0.2.{number}"), password=PASSWORD).status_code == 302
    assert db.session.scalar(select(func.count()).select_from(Device)) == 100
    assert Device.is_known(trusted.get_cookie("device").value, "ada"), "a trusted one goes last"


def test_limits_show_lists_policies_and_full_counters(browser_at, ada, flask):
    for _ in range(4):
        guess(browser_at())
    shown = flask("limits", "show").stdout
    assert "login            5 per 5 minutes" in shown
    assert "registration     60 per hour" in shown
    assert "refused" not in shown
    guess(browser_at())
    assert "login            5 of 5" in flask("limits", "show").stdout
    assert "192.0.2.1" in flask("limits", "show").stdout


@pytest.mark.parametrize(
    ("who", "is_theirs"),
    [*product(["ada", "ADA@example.com", "192.0.2.1"], [True]), *product(["bob", "nobody", "192.0.2.2"], [False])],
)
def test_limits_clear_resets_the_counters_of_a_name(browser_at, ada, bob, flask, who, is_theirs):
    for login in ("ada", "ada@example.com"):
        for _ in range(5):
            guess(browser_at(), login)
    assert flask("limits", "show", who).stdout.count("refused") == (2 if is_theirs else 0)
    flask("limits", "clear", who)
    expected = [302] * 2 if is_theirs else [429] * 2
    assert statuses(guess(browser_at(), login, PASSWORD) for login in ("ada", ada.email)) == expected


def test_limits_clear_resets_the_counters_of_an_ipv6_network(browser_at, ada, flask):
    for _ in range(5):
        guess(browser_at("2001:db8::1"))
    assert "2001:db8::/64" in flask("limits", "show").stdout
    assert flask("limits", "clear", "2001:db8::/64").stdout == "8 counters cleared.\n"
    assert guess(browser_at("2001:db8::2"), password=PASSWORD).status_code == 302


def test_limits_clear_resets_all_counters(browser_at, ada, flask, monkeypatch):
    monkeypatch.setattr(database_storage, "MAX_READ", 31)  # which needs several statements
    for number in range(30):
        guess(browser_at(), f"person{number}")
    assert flask("limits", "clear").stdout == "92 counters cleared.\n"
    assert guess(browser_at(), password=PASSWORD).status_code == 302


def test_counters_of_a_hashed_name_and_of_a_network_are_found_among_others(app):
    hashes = ["0" * 22, "0" * 21 + "9", "0" * 21 + "a", "9" + "f" * 21, "a" + "0" * 21, "f" * 21 + "e"]
    places = ["192.0.2.1", "192.0.2.10", "2001:db8::/64", f"browser-{hashes[2]}", "elsewhere"]
    rate = parse("5 per 5 minutes")
    for subject in [*hashes, *places, *(f"{name} {place}" for name in hashes for place in places)]:
        shared_counters().storage.incr(RateCounter("login", subject, rate).key, 300)
    for name in hashes:
        found = [entry.subject for entry in report.entries_beginning({name}, {"192.0.2.1", "2001:db8::/64"})]
        expected = {name, "192.0.2.1", "2001:db8::/64", *(f"{name} {place}" for place in places)}
        assert (set(found), len(found)) == (expected, len(expected))


def test_users_why_names_the_login_limit(browser_at, ada, app):
    for _ in range(5):
        guess(browser_at())
    why = app.test_cli_runner(catch_exceptions=False).invoke(args=["users", "why", "ada"]).output
    assert "flask limits clear ada" in why


@on_sqlite
class TestByProvider:
    @pytest.fixture
    def settings(self, issuer):
        return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}

    def arrive(self, browser, issuer, number, is_verified, **more):
        claims = {"sub": f"person{number}", "email": f"person{number}@example.com", "email_verified": is_verified}
        return travel(browser, issuer, **claims | more)

    @pytest.mark.parametrize("is_verified", [True, False])
    @pytest.mark.extended
    def test_sso_registrations_count_with_those_of_the_form(self, browser_at, issuer, is_verified):
        for number in range(30):
            register(browser_at(), number)
        answers = [self.arrive(browser_at(), issuer, number, is_verified) for number in range(30, 62)]
        assert statuses(answers) == [302] * 30 + [429] * 2
        assert "Too many accounts were created on your network" in answers[-1].text
        assert db.session.scalar(select(func.count()).select_from(User)) == 60
        emails = db.session.scalar(select(func.count()).select_from(OutboxEmail))
        assert emails == (30 if is_verified else 60)
        assert self.arrive(browser_at("192.0.2.2"), issuer, 62, is_verified).status_code == 302

    @pytest.mark.extended
    def test_registration_limit_does_not_refuse_sso_logins(self, browser_at, issuer):
        self.arrive(browser_at(), issuer, 99, True)
        for number in range(60):
            register(browser_at(), number)
        assert self.arrive(browser_at(), issuer, 100, True).status_code == 429
        assert self.arrive(browser_at(), issuer, 99, True).location == "/"

    def test_sso_availability_checks_are_limited(self, browser_at, ada, issuer):
        rate = parse(POLICIES["availability"].rates[by_network])
        shared_counters().storage.incr(RateCounter("availability", "192.0.2.1", rate).key, 3600, 300)
        assert self.arrive(browser_at(), issuer, 1, False, email="ada@example.com").status_code == 429


@pytest.mark.parametrize(
    "spelled", ["eve+{}@example.com", "EVE+{}@Example.com", "e.v.e+{}@example.com", "eve@example.com"]
)
def test_addresses_of_one_mailbox_share_ten_emails_per_hour(browser_at, outbox, clock, spelled):
    def ask(times):
        for number in range(times):
            browser_at(f"192.0.2.{number}").post("/auth/reset", data={"email": spelled.format(number)})
        return len(outbox())

    assert ask(30) == 10
    assert browser_at().post("/auth/reset", data={"email": "another@example.com"}).status_code == 302
    assert len(outbox()) == 11
    clock.move(hours=1, seconds=1)
    assert ask(5) == 16


def test_two_addresses_of_one_mailbox_can_have_two_accounts(browser_at, app):
    for name, email in {"eve": "e.ve@example.com", "eva": "eve+x@example.com"}.items():
        assert browser_at().post("/auth/register", data={"email": email, "username": name} | FORM).status_code == 302
    assert {user.email for user in db.session.scalars(select(User))} == {"e.ve@example.com", "eve+x@example.com"}


def test_changing_the_username_gives_no_more_password_attempts(client, ada):
    client.log_in(ada)
    client.delete_cookie("device")
    looked_at = 0
    for number in range(30):
        client.post("/auth/change-username", data={"username": f"lovelace-{number}x"})
        answer = client.post(
            "/auth/reauthenticate", data={"password": "wrong"}, environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"}
        )
        looked_at += answer.status_code == 422
    assert looked_at == 20
