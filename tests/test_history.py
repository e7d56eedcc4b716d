"""The security history: what is recorded, who reads it, and how the page shows it."""

import contextvars
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest
from sqlalchemy import delete, event, func, select
from support.clients import PASSWORD, ROOT, on_sqlite
from support.lives import live
from support.pages import FIREFOX, lines

from app import clock as clocks
from app.accounts import account_deletion, administration, usernames
from app.connections import released_connection
from app.extensions import db
from app.models import Action, Actor, AuditAction, AuditEvent, LogoutReason, Role, UserSession
from app.security import audit

PAGE = "/auth/history"
KINDS = ("AuditAction", "LogoutReason")


def titles(page):
    """Return what happened, without the time and the details."""
    return [re.sub(r" \d\d:\d\d UTC.*", "", line) for line in lines(page)]


def test_every_audit_action_is_recorded_somewhere():
    sources = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py") if path.name != "audit_action.py")
    assert [action for action in AuditAction if f"AuditAction.{action.name}" not in sources] == []


def test_actions_declare_the_logout_reason_with_which_their_service_revokes_sessions():
    declared = {(action.name, action.facts.logout_reason.name) for action in AuditAction if action.facts.logout_reason}
    used = set()
    for path in (ROOT / "app/accounts").glob("*.py"):
        actions, reasons = (set(re.findall(rf"{kind}\.([A-Z_]+)", path.read_text())) for kind in KINDS)
        used |= {(action, reason) for action in actions for reason in reasons}
    assert declared <= used
    assert {reason for _, reason in declared} == {reason.name for reason in LogoutReason} - {"EXPIRED", "TOO_MANY"}


def test_history_shows_the_stored_action_if_no_enum_declares_it_any_longer(client, ada):
    db.session.add(AuditEvent(user_id=ada.id, action="plant_sold"))
    db.session.commit()
    client.log_in(ada)
    assert lines(client.get(PAGE))[-1].startswith("plant_sold ")
    assert len(lines(client.get(PAGE, query_string={"show": "changes"}))) == 0, "nobody knows what it is about"


def test_an_application_records_and_shows_its_own_action(client, ada):
    class OwnAction(Action):
        PLANT_SOLD = f"plant_sold_{token_hex(4)}", "Plant sold"

    audit.record(ada, OwnAction.PLANT_SOLD)
    db.session.commit()
    client.log_in(ada)
    assert lines(client.get(PAGE))[-1].startswith("Plant sold ")


def test_two_audit_actions_cannot_have_the_same_value():
    with pytest.raises(ValueError, match="There already is an audit action 'logged_in'"):
        Action("Another", {"LOGGED_IN": ("logged_in", "You came in")})


def test_history_shows_action_time_device_and_ip_address(client, ada, clock):
    client.environ_base |= {"HTTP_USER_AGENT": FIREFOX, "REMOTE_ADDR": "203.0.113.5"}
    client.log_in(ada)
    first = clock.time
    clock.move(days=1)
    client.log_in(ada)
    page = client.get(PAGE)
    title, where = "Logged in with a password", "IP address 203.0.113.5 Browser Firefox on Linux"
    assert lines(page) == [
        f"{title} {at:%H:%M} UTC · Firefox on Linux Time {at:%-d %B %Y, %H:%M} UTC {where}"
        for at in (clock.time, first)
    ]
    assert f'<time datetime="{first:%Y-%m-%dT%H:%M:%S}+00:00">' in page.text


def test_history_is_grouped_by_day(client, ada, clock):
    clock.time = datetime(2031, 5, 4, 0, 30, tzinfo=UTC)
    for minutes in (0, 31, 24 * 60, 48 * 60):
        at = clock.time - timedelta(minutes=minutes)
        db.session.add(AuditEvent(user_id=ada.id, action=AuditAction.LOGGED_OUT, at=at))
    db.session.commit()
    client.log_in(ada)
    days = re.findall(r"<h2>(.*?)</h2>|<li>", client.get(PAGE).text.partition('id="days"')[2])
    assert days == ["Today", "", "", "Yesterday", "", "", "Friday, 2 May 2031", ""]


def test_history_marks_failures_and_warnings_in_words(client, ada):
    actions = [AuditAction.LOGIN_FAILED, AuditAction.PASSKEY_COPIED, AuditAction.LOGGED_OUT]
    for action in actions:
        audit.record(ada, action)
    db.session.commit()
    client.log_in(ada)
    assert set(titles(client.get(PAGE))) == {
        "Failed login with a password Failed",
        "Passkey refused because it may have been copied Warning",
        "Logged out",
        "Logged in with a password",
    }


@pytest.mark.parametrize(
    ("shown", "actions"),
    [
        ("all", "logged_in login_failed new_device passkey_added passkey_copied"),
        ("logins", "logged_in login_failed"),
        ("devices", "new_device"),
        ("changes", "passkey_added passkey_copied"),
        ("warnings", "login_failed passkey_copied"),
    ],
)
def test_history_is_filtered_by_kind(client, ada, shown, actions):
    for action in "logged_in login_failed new_device passkey_added passkey_copied".split():
        db.session.add(AuditEvent(user_id=ada.id, action=action))
    db.session.commit()
    client.log_in(ada)
    db.session.execute(delete(AuditEvent).where(AuditEvent.detail["method"].as_string() == "password"))
    db.session.commit()
    page = client.get(PAGE, query_string={"show": shown})
    labels = [AuditAction(action).label for action in actions.split()]
    assert [line.split(" Warning")[0].split(" Failed")[0] for line in titles(page)] == labels[::-1]
    assert re.findall(r'aria-current="page">(\w+)', page.text.partition('aria-label="Filter events"')[2]) == [
        shown.capitalize()
    ]


def test_history_keeps_the_filter_on_further_pages(client, ada):
    for _ in range(101):
        db.session.add(AuditEvent(user_id=ada.id, action=AuditAction.NEW_DEVICE))
    db.session.commit()
    client.log_in(ada)
    pages = [client.get(PAGE, query_string={"show": "devices"})]
    for words in ("Older", "Older", "Newer", "Newer"):
        link = re.search(rf'href="([^"]+)">{words}', pages[-1].text)[1]
        pages.append(client.get(link.replace("&amp;", "&")))
    assert [len(lines(page)) for page in pages] == [50, 50, 1, 50, 50]
    assert pages[-1].request.url == pages[0].request.url
    for link in re.findall(r'href="(/auth/history[^"]*)"', client.get(PAGE, query_string={"show": "logins"}).text):
        assert client.get(link).status_code == 200, link
    for query in ({"show": "nothing"}, {"show": "logins", "page": "2"}, {"show": "all'"}):
        assert client.get(PAGE, query_string=query).status_code == 404, query


def test_history_without_events_of_a_kind_says_so(client, ada):
    client.log_in(ada)
    page = client.get(PAGE, query_string={"show": "warnings"})
    assert lines(page) == []
    assert "No events of this kind." in page.text


@on_sqlite
@pytest.mark.parametrize(
    ("action", "detail", "words"),
    [
        ("username_changed", {"old": "a" * 64, "new": "<b>eve"}, f"Before {'a' * 64} After &lt;b&gt;eve"),
        ("admin_changed", {"old": False, "new": True}, "Before No After Yes"),
        (
            "deletion_requested",
            {"old": None, "new": "2031-05-04T08:05:00+00:00"},
            "Deletion date before None Deletion date after 4 May 2031",
        ),
        (
            "deletion_cancelled",
            {"old": "2031-05-04T08:05:00+00:00", "new": None},
            "Deletion date before 4 May 2031 Deletion date after None",
        ),
        ("username_changed", {"old": "ada", "new": "20310504"}, "Before ada After 20310504"),
        ("identity_linked", {"provider": "acme"}, "Provider acme"),
        ("two_factor_used", {"factor": "recovery_code"}, "Method Recovery code"),
        ("two_factor_used", {"factor": "<i>"}, "UTC"),
        ("logged_in", {"method": "sso:acme"}, "UTC"),
    ],
)
def test_history_shows_details_of_an_event(client, ada, action, detail, words):
    db.session.add(AuditEvent(user_id=ada.id, action=action, detail=detail))
    db.session.commit()
    client.log_in(ada)
    assert lines(client.get(PAGE))[-1].endswith(words)


def test_history_has_fifty_events_on_a_page(client, ada):
    then = clocks.now() - timedelta(days=1)
    for number in range(1, 100):
        facts = {"action": AuditAction.LOGGED_IN, "ip": f"10.0.0.{number}", "at": then + timedelta(minutes=number)}
        db.session.add(AuditEvent(user_id=ada.id, **facts))
    db.session.commit()
    client.log_in(ada)
    newest = client.get(PAGE)
    oldest = client.get(re.search(r'href="([^"]+)">Older', newest.text)[1])
    assert (len(lines(newest)), "Newer" in newest.text) == (50, False)
    assert (len(lines(oldest)), "Older" in oldest.text) == (50, False)
    assert " 10.0.0.1 " in lines(oldest)[-1]
    assert re.findall(r"10\.0\.0\.(\d+)", newest.text + oldest.text) == [str(number) for number in range(99, 0, -1)]
    assert lines(client.get(re.search(r'href="([^"]+)">Newer', oldest.text)[1])) == lines(newest)
    for page in ("0", "-1", "x", "", "3", str(10**9), "9" * 5000, "1.5", "\0", "\u00b2", "2'"):
        assert client.get(PAGE, query_string={"page": page}).status_code == 404, page[:20]


def test_history_shows_only_ones_own_events(client, another_client, ada, bob):
    another_client.log_in(ada, "wrong")
    another_client.log_in(bob)
    client.log_in(ada)
    bob.confirmed = True
    db.session.commit()
    own = client.get(PAGE)
    assert len(lines(own)) == 2
    theirs = ("user_id", "user", "id", "username", "email", "owner")
    for query in [{name: value} for name in theirs for value in (bob.id, "bob", "bob@example.com")]:
        assert lines(client.get(PAGE, query_string=query)) == lines(own), query
    assert len(lines(another_client.get(PAGE))) == 1
    assert another_client.post(PAGE).status_code == 405


def test_failed_login_is_in_the_history_of_the_account_that_was_tried(client, another_client, ada):
    another_client.environ_base |= {"REMOTE_ADDR": "198.51.100.9"}
    for login in ("ada", "ADA@example.com", "nobody", "nobody@example.com"):
        another_client.post("/auth/login", data={"login": login, "password": "wrong"})
    failed = select(AuditEvent).where(AuditEvent.action == AuditAction.LOGIN_FAILED).order_by(AuditEvent.id)
    assert [(event.user_id, event.count) for event in db.session.scalars(failed)] == [(ada.id, 2), (None, 2)]
    client.log_in(ada)
    [read] = [line for line in lines(client.get(PAGE)) if line.startswith("Failed login")]
    assert read.startswith("Failed login with a password Failed 2 times ")
    assert "IP address 198.51.100.9" in read


CAUSED = {  # what strangers can send about an account or an unknown name, by the action that it causes
    "login_failed": ("/auth/login", {"login": "{}", "password": "wrong"}),
    "reset_requested": ("/auth/reset", {"email": "{}@example.com"}),
    "magic_link_requested": ("/auth/magic-link", {"email": "{}@example.com"}),
}


@pytest.mark.parametrize("name", ["ada", "nobody"])
@pytest.mark.parametrize(("action", "path", "form"), [(action, *sent) for action, sent in CAUSED.items()], ids=CAUSED)
def test_events_by_strangers_are_one_row_per_account_network_and_hour(app, ada, clock, name, action, path, form):
    def send(ip):
        stranger = app.test_client()
        stranger.environ_base["REMOTE_ADDR"] = ip
        stranger.post(path, data={field: value.format(name) for field, value in form.items()})

    def rows():
        return db.session.execute(
            select(AuditEvent.count, AuditEvent.ip).where(AuditEvent.action == action).order_by(AuditEvent.id)
        ).all()

    clock.time = clock.time.replace(minute=0)
    for number in range(4):
        send(f"2001:db8:0:{number}::1")
    assert rows() == [(4, "2001:db8:0:3::1")], "one row per /48, with the latest address"
    send("192.0.2.1")
    clock.move(minutes=59)
    send("192.0.2.1")
    clock.move(minutes=1)
    send("192.0.2.1")
    assert rows() == [(4, "2001:db8:0:3::1"), (2, "192.0.2.1"), (1, "192.0.2.1")]


@pytest.fixture
def stranger(app):
    """A request of a stranger, whose events share a row that is written at the commit."""
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.1"}):
        yield


def count_after_commit():
    db.session.commit()
    return db.session.scalar(select(func.sum(AuditEvent.count)).where(AuditEvent.action == AuditAction.LOGIN_FAILED))


def test_events_by_strangers_are_kept_while_the_connection_is_released(stranger, ada):
    audit.record(ada, AuditAction.LOGIN_FAILED)
    with released_connection():
        pass
    assert count_after_commit() == 1


def test_events_by_strangers_are_written_once_by_each_kind_of_commit(stranger, ada):
    with db.session.begin():
        audit.record(ada, AuditAction.LOGIN_FAILED)
    assert count_after_commit() == 1
    audit.record(ada, AuditAction.LOGIN_FAILED)
    with suppress(ZeroDivisionError), db.session.begin_nested():
        1 / 0  # noqa: B018
    with db.session.begin_nested():
        audit.record(ada, AuditAction.LOGIN_FAILED)
    assert count_after_commit() == 3


def test_events_by_strangers_are_rolled_back(stranger, ada):
    with suppress(ZeroDivisionError), db.session.begin():
        audit.record(None, AuditAction.LOGIN_FAILED)
        1 / 0  # noqa: B018
    assert count_after_commit() is None
    audit.record(None, AuditAction.LOGIN_FAILED)
    db.session.rollback()
    assert count_after_commit() is None
    audit.record(None, AuditAction.LOGIN_FAILED)
    db.session.close()
    assert count_after_commit() is None


def test_an_event_that_an_application_records_in_a_flush_is_written(stranger, ada):
    def record(session, *_):
        if session.dirty:
            audit.record(None, AuditAction.LOGIN_FAILED)

    event.listen(db.session(), "before_flush", record)
    ada.username = "ada-2"
    assert count_after_commit() == 1


def test_failed_passkey_logins_are_one_row(client, ada):
    answers = {client.post("/auth/login", data={"credential": "x"}).status_code for _ in range(100)}
    assert answers == {422, 429}
    [row] = db.session.scalars(select(AuditEvent).where(AuditEvent.action == AuditAction.LOGIN_FAILED))
    assert (row.count, row.detail) == (30, {"method": "passkey"})


def test_events_by_users_are_one_row_each(client, ada):
    client.log_in(ada)
    client.post("/auth/logout")
    client.log_in(ada)
    assert db.session.scalar(select(func.count()).where(AuditEvent.action == AuditAction.LOGGED_IN)) == 2


def test_page_command_and_administrator_share_a_service_and_the_history_names_each(app, client, ada, bob, clock):
    client.log_in(ada)
    client.post("/auth/delete", data={"email": ada.email})
    contextvars.Context().run(app.test_cli_runner().invoke, args=["users", "delete", "ada", "--yes"])
    with audit.acting_as(Actor.ADMINISTRATOR, bob):
        account_deletion.request(ada)
    db.session.commit()
    requested = select(AuditEvent).where(AuditEvent.action == AuditAction.DELETION_REQUESTED).order_by(AuditEvent.id)
    by_page, by_command, by_administrator = [event.detail for event in db.session.scalars(requested)]
    due = (clock.time + timedelta(days=14)).isoformat()
    assert by_page == {"old": None, "new": due}
    assert by_command == {"old": due, "new": due, "by": "command_line"}
    assert by_administrator == {"old": due, "new": due, "by": "administrator", "acting_user": bob.id}

    account_deletion.cancel(ada)
    db.session.commit()
    cancelled = select(AuditEvent.detail).where(AuditEvent.action == AuditAction.DELETION_CANCELLED)
    assert db.session.scalar(cancelled) == {"old": due, "new": None}, "the administrator acts in that block only"
    client.log_in(ada)
    label = "Account deletion requested"
    assert titles(client.get(PAGE))[2:5] == [
        f"{label}, by an administrator",
        f"{label}, by an administrator at the command line",
        label,
    ]


def test_every_changed_value_is_kept_old_and_new(client, ada, bob, outbox):
    client.log_in(bob)
    client.post("/auth/unconfirmed", data={"email": "robert@example.com"})
    usernames.change(ada, "lovelace")
    for is_admin in (True, False):
        administration.set_role(ada, Role.of(is_admin))
    administration.deactivate(ada)
    administration.activate(ada)
    db.session.commit()
    events = select(AuditEvent).where(AuditEvent.action != AuditAction.LOGGED_IN).order_by(AuditEvent.id)
    assert [(event.action, event.detail["old"], event.detail["new"]) for event in db.session.scalars(events)] == [
        ("email_corrected", "bob@example.com", "robert@example.com"),
        ("username_changed", "ada", "lovelace"),
        ("role_changed", "user", "administrator"),
        ("role_changed", "administrator", "user"),
        ("deactivated", False, True),
        ("activated", True, False),
    ]


def test_audit_events_hold_no_secrets(app, another_client, outbox):
    client = live(app, outbox, "eve")
    another_client.post("/auth/login", data={"login": "typed in the wrong field", "password": "not the password"})
    secrets = {PASSWORD, "not the password", "typed in the wrong field", *db.session.scalars(select(UserSession.id))}
    secrets |= {client.get_cookie(name).value for name in ("session", "device")}
    for email in outbox():
        secrets |= set(re.findall(r"eyJ[\w.-]{40,}", email.body))
        codes = re.findall(r"^\d{4} \d{4}$", email.body, re.M)
        secrets |= {re.sub(" ", form, code) for code in codes for form in ("", " ")}
    assert len(secrets) > 15
    held = str(db.session.execute(select(AuditEvent.__table__)).all())
    assert "login_failed" in held
    assert [secret for secret in secrets if secret in held] == []


@pytest.mark.parametrize("has_password", [True, False])
def test_account_overview_links_to_all_account_pages(client, ada, outbox, has_password):
    if has_password:
        client.log_in(ada)
    else:
        ada.password_hash = None
        db.session.commit()
        client.post("/auth/magic-link", data={"email": "ada@example.com"})
        client.get(outbox.link())
    navigation, _, page = client.get("/account").text.partition("<main")[2].partition("<h1>")
    found = [re.findall(r'href="(/[^"]+)"', part) for part in (navigation, page.partition("</main>")[0])]
    always = ["/account", *[f"/auth/{name}" for name in "login-methods two-factor devices history export".split()]]
    assert found[0][: len(always)] == always, "an application may add pages"
    pages = "change-username change-email change-password passkeys two-factor devices export delete".split()
    assert found[1].pop(2) == "/language?next=/account"
    assert found[1] == [f"/auth/{name}" for name in pages]
    links = [*always, *found[1]]
    assert {client.get(link).status_code for link in links} == {200}
    assert ("Set a password" in page) is ("Not set" in page) is not has_password
    assert ("Change password" in page) is has_password
    assert all(words in page for words in ("ada@example.com", "1 device", "Member since"))
