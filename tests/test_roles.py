"""Roles and permissions: what users may do, in views, templates, queries and commands."""

import re
from enum import IntFlag

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import render_template_string
from flask_login import current_user
from sqlalchemy import select
from support.clients import ROOT

from app.accounts import administration
from app.auth.access import admin_required, permission_required
from app.extensions import db
from app.models import AuditEvent, Permission, PermissionFlag, Role, User
from app.models.role import SEEDS

MAY = {"user": "FOLLOW COMMENT WRITE", "moderator": "FOLLOW COMMENT WRITE MODERATE"}
MAY["administrator"] = f"{MAY['moderator']} ADMIN"


@pytest.fixture
def moderator(bob):
    bob.confirmed = True
    administration.set_role(bob, db.session.get(Role, "moderator"))
    db.session.commit()
    return bob


@pytest.mark.parametrize("role", MAY)
def test_roles_are_seeded_with_the_permissions_of_flasky(ada, role):
    ada.role = db.session.get(Role, role)
    db.session.commit()
    assert " ".join(flag.name for flag in Permission if ada.can(flag)) == MAY[role]
    assert ada.is_administrator() == ada.is_admin == (role == "administrator")
    assert ada.role.permissions & sum(Permission) == SEEDS[role], "as db.create_all() does"


def test_a_new_user_has_the_default_role(client):
    form = {"email": "eve@example.com", "username": "eve", "password": "lanterns in a row"}
    client.post("/auth/register", data=form | {"confirm_password": form["password"], "role_name": "administrator"})
    eve = User.find("eve")
    assert (eve.role.name, eve.can(Permission.WRITE), eve.can(Permission.MODERATE)) == ("user", True, False)


def test_several_permissions_are_needed_together(moderator, ada):
    both = Permission.WRITE | Permission.MODERATE
    assert (moderator.can(both), ada.can(both)) == (True, False)


def test_is_admin_reads_and_sets_the_role(ada, moderator):
    eve = User(email="eve@example.com", username="eve", is_admin=True)
    db.session.add(eve)
    db.session.commit()
    assert (eve.role_name, ada.is_admin, moderator.is_admin) == ("administrator", False, False)
    ada.is_admin, moderator.is_admin = True, False
    db.session.commit()
    assert (ada.role_name, moderator.role_name) == ("administrator", "moderator")
    admins = select(User.username).order_by(User.username)
    assert db.session.scalars(admins.where(User.is_admin)).all() == ["ada", "eve"]
    assert db.session.scalars(admins.where(~User.is_admin)).all() == ["bob"]
    assert [user.username for user in User.query.filter_by(is_admin=False)] == ["bob"]
    ada.is_admin = False
    db.session.commit()
    assert ada.role_name == "user"


def test_the_account_of_a_role_with_all_rights_is_an_administrators_whatever_its_name(ada):
    db.session.add(Role(name="all rights", permissions=Permission.ADMIN))
    db.session.flush()
    administration.set_role(ada, db.session.get(Role, "all rights"))
    db.session.commit()
    assert (ada.is_admin, ada.can(Permission.WRITE)) == (True, False)
    assert User.query.filter(User.is_admin).all() == [ada]


def test_a_user_without_a_role_may_do_nothing(app):
    assert not User(email="eve@example.com", username="eve").can(Permission.FOLLOW)


@pytest.fixture
def pages(own_app, app):
    app.add_url_rule("/moderate", "moderate", permission_required(Permission.MODERATE)(lambda: "moderated"))
    app.add_url_rule("/rule", "rule", admin_required(lambda: "ruled"), methods=["GET", "POST"])
    app.add_url_rule("/mine", "mine", lambda: str([current_user.can(flag) for flag in (Permission.WRITE, 0)]))
    shown = "{{ current_user.can(Permission.WRITE) }} {{ current_user.is_administrator() }} {{ current_user.is_admin }}"
    app.add_url_rule("/shown", "shown", lambda: render_template_string(shown))


def test_views_refuse_users_without_the_permission_and_ask_visitors_to_log_in(pages, client, ada, moderator):
    for path in ("/moderate", "/rule"):
        assert client.get(path).location.startswith("/auth/login?next=")
    assert client.get("/rule", headers={"Accept": "application/json"}).status_code == 401
    client.log_in(ada)
    assert [client.get(path).status_code for path in ("/moderate", "/rule")] == [403, 403]
    client.post("/auth/logout")
    client.log_in(moderator)
    assert [client.get(path).status_code for path in ("/moderate", "/rule")] == [200, 403]
    administration.set_role(moderator, Role.of(True))
    db.session.commit()
    assert [client.get(path).text for path in ("/moderate", "/rule")] == ["moderated", "ruled"], "from the next request"
    administration.set_role(moderator, Role.of(False))
    db.session.commit()
    assert client.post("/rule").status_code == 403


def test_unconfirmed_administrators_confirm_their_address_first(pages, client, bob):
    administration.set_role(bob, Role.of(True))
    db.session.commit()
    client.log_in(bob)
    assert client.get("/rule").location == "/auth/unconfirmed"


def test_visitors_may_do_nothing(pages, client, ada):
    assert client.get("/mine").text == "[False, False]"
    assert client.get("/shown").text == "False False False"
    client.log_in(ada)
    assert client.get("/shown").text == "True False False"


def test_a_change_of_role_is_in_the_history(client, flask, ada):
    flask("users", "set-role", "ada", "moderator")
    flask("users", "set-role", "ada", "moderator")
    [event] = db.session.scalars(select(AuditEvent))
    assert (event.action, event.detail) == ("role_changed", {"old": "user", "new": "moderator", "by": "command_line"})
    client.log_in(ada)
    page = client.get("/auth/history").text
    assert "Role changed, by an administrator at the command line" in page


def test_set_role_names_the_roles_if_there_is_none_such(flask, ada):
    said = flask("users", "set-role", "ada", "king")
    problem, _, roles = said.stderr.splitlines()[-1].partition(" The roles are: ")
    assert (said.exit_code, problem) == (1, "Error: There is no role 'king'.")
    assert [role for role in roles.removesuffix(".").split(", ") if role in MAY] == [*MAY]
    assert "There is no account 'eve'" in flask("users", "set-role", "eve", "user").stderr


def test_roles_are_listed_with_permissions_and_counts(flask, ada, moderator):
    assert next(line.split()[1:3] for line in flask("roles").stdout.splitlines() if "moderator" in line) == [
        "1",
        "user",
    ]
    assert "ada is now: moderator." in flask("users", "set-role", "ada", "moderator").stdout
    lines = [line.split(maxsplit=3) for line in flask("roles").stdout.splitlines()]
    ours = [(role, count, may.split(", ")) for role, count, _, may in lines if role in MAY]
    assert [(role, count) for role, count, _ in ours] == [("user", "0"), ("moderator", "2"), ("administrator", "0")]
    assert {role: " ".join(name for name in may if name in Permission.__members__) for role, _, may in ours} == MAY


def test_list_and_show_name_the_role(flask, moderator, ada):
    assert "confirmed, moderator" in flask("users", "show", "bob").stdout
    assert "moderator" not in flask("users", "show", "ada").stdout


def test_the_documented_permission_and_role_work(flask, ada):
    """As docs/building.md says: the enum, then the migration, which runs here outside of any revision."""
    text = (ROOT / "docs/building.md").read_text().partition("## Roles and permissions")[2]
    text = text.replace("1 << 8", "1 << 30").replace("gardener", "harvester")  # as no application may have them
    enum, migration = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    done = {}
    exec(enum, done)
    exec(migration, done)
    with Operations.context(MigrationContext.configure(db.session.connection())):
        done["upgrade"]()
    harvest = done["GardenPermission"].HARVEST
    db.session.commit()
    assert "ada is now: harvester." in flask("users", "set-role", "ada", "harvester").stdout
    assert (ada.can(harvest), ada.can(Permission.WRITE), ada.can(Permission.MODERATE)) == (True, True, False)
    ada.is_admin = True
    assert ada.can(harvest), "administrators, too"
    harvesters = next(line for line in flask("roles").stdout.splitlines() if line.startswith("harvester"))
    assert harvesters.split(maxsplit=3)[3] == "FOLLOW, COMMENT, WRITE, HARVEST"


def test_permissions_do_not_overlap():
    assert issubclass(PermissionFlag, IntFlag)
    flags = [flag for kind in PermissionFlag.__subclasses__() for flag in kind]
    assert sum(flags) == sum({int(flag) for flag in flags})
