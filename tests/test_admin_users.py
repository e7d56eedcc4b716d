"""The administration pages of users: the list, one user, and what administrators do with an account."""

import contextvars
import csv
import html
import io
import re

import pytest
from flask_login import login_user
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite
from support.guesses import guess

from app.accounts import account_deletion, administration, cleanup, registration
from app.admin.user_actions import ACTIONS, state_of
from app.extensions import db
from app.models import Actor, AuditEvent, Role, User

pytestmark = on_sqlite


def page_of(user):
    return f"/admin/users/{user.id}"


def act(browser, user, action, **fields):
    """Open the page of an action as an administrator does, and press its button."""
    page = browser.get(f"{page_of(user)}/{action}")
    state = re.search(r'name="seen"[^>]*value="([\w-]+)"', page.text)
    if page.status_code != 200 or not state:
        return page
    return browser.post(f"{page_of(user)}/{action}", data={"seen": state[1]} | fields, follow_redirects=True)


def buttons(page):
    return re.findall(r'href="/admin/users/\d+/([\w-]+)"', page.text)


def history(user):
    return list(db.session.scalars(select(AuditEvent).filter_by(user_id=user.id).order_by(AuditEvent.id)))


@pytest.fixture
def eve(app):
    user = User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True)
    db.session.add(user)
    db.session.commit()
    return user


def test_the_list_shows_filters_sorts_and_pages_users(administrator, ada, bob, eve):
    names = re.compile(r'<th class="long" scope="row"><a href="/admin/users/\d+"><bdi>(\w+)</bdi></a>')
    page = administrator.get("/admin/users")
    assert names.findall(page.text) == ["eve", "bob", "ada"]
    assert 'aria-sort="descending"' in page.text
    assert names.findall(administrator.get("/admin/users?sort=name").text) == ["ada", "bob", "eve"]
    assert names.findall(administrator.get("/admin/users?only=unconfirmed").text) == ["bob"]
    found = administrator.get("/admin/users?text=EV&sort=nonsense").text
    assert (names.findall(found), "aria-sort" in found) == (["eve"], False)
    assert "No users match." in administrator.get("/admin/users?text=nobody").text
    assert administrator.get("/admin/users?only=nonsense").status_code == 404
    for number in range(60):
        db.session.add(User(email=f"u{number}@example.com", username=f"u{number}"))
    db.session.commit()
    first = administrator.get("/admin/users?sort=name").text
    older = html.unescape(re.search(r'class="btn btn-outline older" href="([^"]+)"', first)[1])
    second = administrator.get(f"/admin/users{older}").text
    assert (len(names.findall(first)), len(names.findall(second))) == (50, 13)
    assert names.findall(first)[-1] < names.findall(second)[0]


def test_the_download_has_all_that_the_search_finds_and_no_formulas(administrator, ada, bob, eve):
    eve.email = "=eve@example.com"
    db.session.commit()
    answer = administrator.post("/admin/users/export?text=&sort=name", buffered=True)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["Content-Disposition"] == "attachment; filename=users.csv"
    assert [(row["username"], row["email"], row["confirmed"]) for row in rows] == [
        ("ada", "ada@example.com", "True"),
        ("bob", "bob@example.com", "False"),
        ("eve", "'=eve@example.com", "True"),
    ]
    assert len(administrator.post("/admin/users/export?only=administrators", buffered=True).text.splitlines()) == 2
    downloads = db.session.scalars(select(AuditEvent).filter_by(action="exported")).all()
    by = {"new": "Users", "by": "administrator", "acting_user": ada.id}
    assert [event.detail for event in downloads] == [by, by], "each download leaves an event"
    assert PASSWORD not in answer.text
    assert "scrypt" not in answer.text


def test_failed_logins_alone_keep_nobody_out(administrator, another_client, eve):
    guess(another_client, "eve")
    page = administrator.get(page_of(eve))
    assert page.text.index("We found nothing that keeps them from logging in") < page.text.index("Failed login at")


def test_a_page_shows_what_an_account_has_and_offers_what_it_permits(administrator, another_client, eve, bob, outbox):
    another_client.log_in(eve)
    page = administrator.get(page_of(eve))
    for words in ("We found nothing that keeps them from logging in", "eve@example.com", "Logged in with a password"):
        assert words in page.text
    offered = {
        "set-email",
        "rename",
        "set-role",
        "send-reset",
        "log-out",
        "deactivate",
        "delete",
        "delete-now",
        "export",
    }
    assert set(buttons(page)) == offered
    page = administrator.get(page_of(bob))
    assert "bob@example.com is not confirmed." in page.text
    assert set(buttons(page)) == offered - {"log-out"} | {"confirm", "resend"}
    administration.deactivate(eve)
    account_deletion.request(eve)
    db.session.commit()
    page = administrator.get(page_of(eve))
    assert "eve is deactivated." in page.text
    changed = {"activate", "cancel-deletion"} - {"deactivate", "delete", "send-reset", "log-out"}
    assert set(buttons(page)) == offered - {"deactivate", "delete", "send-reset", "log-out"} | changed
    assert "Account deactivated" in page.text


@pytest.mark.parametrize(
    ("action", "fields", "change", "subject"),
    [
        ("send-reset", {}, lambda eve: True, "Reset your Flasky password"),
        ("log-out", {}, lambda eve: True, "Your Flasky account was logged out everywhere"),
        (
            "rename",
            {"username": " Evelyn "},
            lambda eve: eve.username == "Evelyn",
            "Your Flasky account has a new username",
        ),
        ("set-email", {"email": "e@example.org"}, lambda eve: eve.email == "e@example.org", None),
        ("set-role", {"role_name": "moderator"}, lambda eve: eve.role_name == "moderator", None),
        ("deactivate", {}, lambda eve: not eve.is_active, "Your Flasky account was deactivated"),
        ("delete", {}, lambda eve: eve.deletion_due_at, None),
        ("delete-now", {}, lambda eve: User.find("eve") is None, "Your Flasky account was deleted"),
    ],
)
def test_each_action_asks_first_changes_the_account_and_tells_the_user(
    administrator, another_client, ada, eve, outbox, action, fields, change, subject
):
    another_client.log_in(eve)
    outbox.clear()
    before = len(history(eve))
    administrator.get(f"{page_of(eve)}/{action}")
    assert len(history(eve)) == before, "the page that asks does nothing"
    done = act(administrator, eve, action, **fields)
    assert (done.status_code, f"{html.escape(ACTIONS[action].button)}: done." in done.text) == (200, True)
    assert change(eve)
    assert outbox()
    assert subject in {None, *(email.subject for email in outbox())}
    assert "203.0.113" not in "".join(email.body for email in outbox())
    acting = [
        event.detail.get("acting_user") for event in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))
    ]
    assert acting[-1] == ada.id


def test_confirming_and_sending_again(administrator, bob, outbox, clock):
    clock.move(minutes=2)
    assert "Send confirmation email: done." in act(administrator, bob, "resend").text
    again = act(administrator, bob, "resend")
    assert (again.status_code, "An email was sent just now" in again.text) == (422, True)
    assert "Confirm address: done." in act(administrator, bob, "confirm").text
    assert bob.confirmed
    assert (
        "can&#39;t be done with this account now"
        in administrator.get(f"{page_of(bob)}/confirm", follow_redirects=True).text
    )


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("rename", {"username": "ADA"}, "Another account has this username."),
        ("rename", {"username": "a\0b"}, "contains a character"),
        ("rename", {"username": "x" * 10_000}, "This is too long."),
        ("rename", {"username": ""}, "Fill in this field."),
        ("set-email", {"email": "ada@example.com"}, "Another account has this email address"),
        ("set-email", {"email": "nonsense"}, "must have an @-sign"),
        ("set-role", {"role_name": "emperor"}, "Not a valid choice"),
    ],
)
def test_what_is_taken_or_invalid_is_refused_with_the_reason(administrator, eve, action, fields, message):
    answer = act(administrator, eve, action, **fields)
    assert (answer.status_code, message in html.unescape(answer.text)) == (422, True)
    assert (eve.username, eve.email, eve.role_name) == ("eve", "eve@example.com", "user")


def test_nothing_is_done_if_the_account_has_changed_since_the_page_was_opened(administrator, bob):
    """Otherwise an administrator would confirm an address that they have not seen."""
    page = administrator.get(f"{page_of(bob)}/confirm")
    state = re.search(r'name="seen"[^>]*value="([\w-]+)"', page.text)[1]
    registration.correct(bob, "somebody@example.com")
    db.session.commit()
    for old in (state, "", None):
        data = {} if old is None else {"seen": old}
        answer = administrator.post(f"{page_of(bob)}/confirm", data=data, follow_redirects=True)
        assert "This account has changed since you opened the page. Nothing was done." in answer.text
    assert not bob.confirmed


def test_a_user_who_has_gone_and_one_who_never_was_are_not_found(administrator, eve):
    path = page_of(eve)
    state = re.search(r'name="seen"[^>]*value="([\w-]+)"', administrator.get(f"{path}/rename").text)[1]
    account_deletion.purge(eve)
    db.session.commit()
    for gone in (path, f"{path}/rename", f"{path}/export", "/admin/users/2147483647"):
        answer = administrator.get(gone)
        assert (answer.status_code, "The account may have been deleted in the meantime." in answer.text) == (404, True)
    answer = administrator.post(f"{path}/rename", data={"seen": state, "username": "x"})
    assert answer.status_code == 404
    for never in ("/admin/users/99999999999999999999", "/admin/users/x", "/admin/users/1/nonsense", "/admin/users/-1"):
        assert administrator.get(never).status_code == 404


def test_administrators_cant_change_their_own_account_here(administrator, ada):
    page = administrator.get(page_of(ada))
    assert "This is your own account." in page.text
    assert buttons(page) == ["export"]
    for action in ACTIONS:
        answer = administrator.get(f"{page_of(ada)}/{action}", follow_redirects=True)
        assert "be done with this account now." in answer.text
    assert (ada.is_active, ada.is_admin, ada.deletion_due_at) == (True, True, None)


@pytest.fixture
def helpdesk(administrator, ada):
    """Ada, whose role of the owner's has ADMIN, but not all permissions."""
    db.session.add(Role(name="helpdesk", permissions=7 | 16))
    db.session.flush()
    ada.role_name = "helpdesk"
    db.session.commit()
    return administrator


def test_an_administrator_gives_only_permissions_they_have(helpdesk, ada, eve):
    assert re.findall('<option[^>]* value="([a-z]+)"', helpdesk.get(f"{page_of(eve)}/set-role").text) == [
        "user",
        "helpdesk",
    ]
    assert act(helpdesk, eve, "set-role", role_name="administrator").status_code == 422
    assert eve.role_name == "user"
    assert "Change role: done." in act(helpdesk, eve, "set-role", role_name="helpdesk").text


def test_an_administrator_who_loses_permissions_meanwhile_gives_them_to_nobody(app, administrator, ada, eve):
    with app.test_request_context():
        login_user(ada)
        ada.role_name = "user"
        db.session.flush()
        db.session.expire(ada)
        with pytest.raises(ValueError, match="The role administrator has permissions"):
            ACTIONS["set-role"].act(eve, "administrator")


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("set-email", {"email": "mallory@example.org"}),
        ("set-role", {"role_name": "user"}),
        ("deactivate", {}),
        ("send-reset", {}),
    ],
)
def test_an_administrator_changes_no_account_with_more_permissions_than_their_own(helpdesk, eve, action, fields):
    eve.is_admin = True
    db.session.commit()
    words = "This account has permissions that you don't have, so you can't change it."
    page = helpdesk.get(page_of(eve))
    assert (words in html.unescape(page.text), buttons(page)) == (True, ["export"])
    asked = helpdesk.get(f"{page_of(eve)}/{action}", follow_redirects=True)
    assert words in html.unescape(asked.text)
    seen = {"seen": state_of(eve)}
    answer = helpdesk.post(f"{page_of(eve)}/{action}", data=seen | fields, follow_redirects=True)
    assert words in html.unescape(answer.text)
    assert (eve.email, eve.role_name, eve.is_active) == ("eve@example.com", "administrator", True)


def test_what_administrators_did_outlasts_the_account_without_addresses_and_names(administrator, ada, eve, clock):
    number = eve.id
    act(administrator, eve, "set-role", role_name="moderator")
    act(administrator, eve, "rename", username="evelyn")
    act(administrator, eve, "set-email", email="e@example.org")
    act(administrator, eve, "delete-now")
    clock.move(days=8)
    for _ in cleanup.registered["audit_events_without_user"]():
        db.session.commit()
    events = db.session.scalars(select(AuditEvent).filter_by(user_id=None).order_by(AuditEvent.id))
    by = {"by": "administrator", "acting_user": ada.id, "former_id": number}
    assert [(event.action, event.detail) for event in events] == [
        ("role_changed", by | {"old": "user", "new": "moderator"}),
        ("username_changed", by),
        ("email_changed", by),
        ("account_deleted", by),
    ]


def test_two_administrators_dont_demote_each_other(own_app, app, administrator, ada, eve):
    """The second one no longer is one when it is their turn, although they were when their request began."""
    eve.is_admin = True
    db.session.commit()
    seen = re.search(r'name="seen"[^>]*value="([\w-]+)"', administrator.get(f"{page_of(eve)}/set-role").text)[1]

    def demote_ada():
        with app.app_context():
            administration.set_role(db.session.get(User, ada.id), db.session.get(Role, "user"))
            db.session.commit()

    def view_after_that(**arguments):
        contextvars.Context().run(demote_ada)
        return view(**arguments)

    view = app.view_functions["admin.user_action"]
    app.view_functions["admin.user_action"] = view_after_that
    administrator.post(f"{page_of(eve)}/set-role", data={"seen": seen, "role_name": "user"})
    assert (eve.role_name, db.session.get(User, ada.id, populate_existing=True).role_name) == ("administrator", "user")


def test_the_data_of_a_user_can_be_downloaded_which_their_history_mentions(administrator, ada, eve):
    assert "history shows the download" in administrator.get(f"{page_of(eve)}/export").text
    answer = administrator.post(f"{page_of(eve)}/export", buffered=True)
    assert (answer.mimetype, answer.data[:2]) == ("application/zip", b"PK")
    event = history(eve)[-1]
    assert (event.label, event.actor, event.detail["acting_user"]) == ("Data downloaded", Actor.ADMINISTRATOR, ada.id)
