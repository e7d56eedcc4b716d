"""Usernames: changing one, and reserved ones."""

import contextvars
import html
import logging
from contextlib import suppress

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite
from support.records import rows

from app.accounts import usernames
from app.extensions import db
from app.models import AuditAction, AuditEvent, User


def rename(client, username, **request):
    return client.post("/auth/change-username", data={"username": username}, **request)


def changes():
    """The username changes in the security history."""
    lines = select(AuditEvent).where(AuditEvent.action == AuditAction.USERNAME_CHANGED).order_by(AuditEvent.id)
    return [(line.user_id, line.detail) for line in db.session.scalars(lines)]


def test_changing_the_username_frees_the_old_one(client, another_client, ada):
    client.log_in(ada)
    form = client.get("/auth/change-username")
    assert 'value="ada"' in form.text
    page = rename(client, " Lovelace ", follow_redirects=True)
    assert page.request.path == "/account"
    assert "Your username was changed." in page.text
    assert "Hello, <bdi>Lovelace</bdi>!" in client.get("/").text
    assert (ada.username, ada.username_key) == ("Lovelace", "lovelace")
    assert changes() == [(ada.id, {"old": "ada", "new": "Lovelace"})]

    log_in = {"login": "ada", "password": PASSWORD}
    assert another_client.post("/auth/login", data=log_in).status_code == 422
    other = {"email": "eve@example.com", "username": "Ada", "password": PASSWORD, "confirm_password": PASSWORD}
    assert another_client.post("/auth/register", data=other).status_code == 302
    assert User.find("ada").email == "eve@example.com"
    another_client.post("/auth/logout")
    assert another_client.post("/auth/login", data=log_in | {"login": "LOVELACE"}).location == "/"


def test_changing_only_the_case_of_a_username(client, ada):
    client.log_in(ada)
    for name in ("ADA", "ada"):
        assert rename(client, name).location == "/account"
        assert ada.username == name
        assert User.find("aDa") == ada
    assert changes() == [(ada.id, {"old": "ada", "new": "ADA"}), (ada.id, {"old": "ADA", "new": "ada"})]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("bob", "already taken"),
        ("BOB", "already taken"),
        ("Admin", "reserved"),
        ("adа", "starting with a-z"),  # noqa: RUF001 its last character is Cyrillic
    ],
)
def test_an_invalid_username_has_its_error_and_changes_nothing(client, ada, bob, name, error):
    client.log_in(ada)
    before = rows()
    page = rename(client, name)
    assert page.status_code == 422
    assert error in html.unescape(page.text.partition('id="username-help"')[2].partition("</div>")[0])
    assert "Your username is <strong><bdi>ada</bdi></strong>" in page.text
    assert rows() == before


def test_of_two_users_racing_for_a_username_one_gets_an_error(client, another_client, ada, bob, monkeypatch, caplog):
    """The second user's form was valid, and the name is taken when it writes. The log has the first change only."""
    bob.confirmed = True
    db.session.commit()
    client.log_in(ada)
    another_client.log_in(bob)
    find, asked = User.find, []

    def find_nobody_at_first(login):
        asked.append(login)
        if len(asked) > 1:
            return find(login)
        assert contextvars.Context().run(rename, another_client, "Grace").location == "/account"
        return None

    monkeypatch.setattr(User, "find", find_nobody_at_first)
    caplog.set_level(logging.INFO, "security")
    page = rename(client, "GRACE")
    assert (page.status_code, "already taken" in page.text) == (422, True)
    assert "Your username is <strong><bdi>ada</bdi></strong>" in page.text
    assert (ada.username, bob.username) == ("ada", "Grace")
    assert changes() == [(bob.id, {"old": "bob", "new": "Grace"})]
    assert [vars(r)["user.id"] for r in caplog.records if r.message == "username_changed"] == [str(bob.id)]
    assert client.get("/account").status_code == 200


LIKE_RESERVED = """
    admin Admin ADMIN Admin. admin-
    admin_ a.d.m.i.n ad-min adm1n admln AdmIn adrnin Adrn1n admin1 admin2024 admin-1
    flasky flasky. Flasky- f1asky fIasky FLASKY_ f.l.a.s.k.y fl4sky flasky2
    no-reply noreply no_reply n0reply No.Reply no-rep1y do-not-reply mailer-daemon MAILER_DAEMON
    r00t ro0t. Root- supp0rt SUPP0RT support-team s-upport webrnaster vvebmaster rnoderator m0derator moclerator
    flasky-support flasky.admin admin-flasky he1p heIp help.desk sec-urity bi11ing
    administrator adm1n1strat0r postmaster post.master hostmaster host-master abuse www vvww undefined nu11 n-u-l-l
""".split()
TAKEN_FOR_NOBODY = """
    ada Ada.Lovelace admirer administer.jones adm badminton flask flaskyfan rooted roots grassroot helper helpful me2
    mia supporter mali malik iris alice a1ice bill.gates status.quo Amin adminah wwwilliam infos1 tests.r.us Zoe-1990
""".split()


@on_sqlite
def test_a_username_that_looks_like_a_reserved_one_is_refused(app):
    for name in LIKE_RESERVED:
        with pytest.raises(ValueError, match="This username is reserved"):
            usernames.check(name)
        usernames.check(name, by_administrator=True)


@on_sqlite
def test_names_of_people_are_not_reserved_usernames(app):
    for name in TAKEN_FOR_NOBODY:
        usernames.check(name)


@pytest.mark.parametrize(
    ("app_name", "name"),
    [("Café Olé", "cafe.ole"), ("Café Olé", "CafeO1e"), ("My Garden", "my-garden"), ("My Garden", "mygarden.admin")],
)
def test_the_applications_own_name_is_a_reserved_username(app, app_name, name):
    app.config["APP_NAME"] = app_name
    with pytest.raises(ValueError, match="This username is reserved"):
        usernames.check(name)
    usernames.check("flasky")


@pytest.mark.parametrize("app_name", ["花園", "!!!", "."])
def test_an_app_name_without_latin_characters_reserves_no_username(app, app_name):
    app.config["APP_NAME"] = app_name
    usernames.check("ada")


@on_sqlite
@pytest.mark.parametrize("wish", ["admin", "Adm1n.", "root2", "no-reply", "flasky", "F1asky", "", "1", "!"])
def test_no_reserved_username_is_proposed(app, wish):
    assert usernames.propose(wish) == "member"
    assert usernames.propose(wish, "Ada") == "ada"


def test_a_rule_of_the_application_holds_for_forms_proposals_and_commands(client, ada, flask, monkeypatch):
    def check_short(username):
        if len(username) < 5:
            raise ValueError("Use at least 5 characters.")

    monkeypatch.setattr(usernames, "CHECKS", [*usernames.CHECKS, check_short])
    monkeypatch.setattr(usernames, "HINT", "Use at least 5 letters.")
    client.log_in(ada)
    page = rename(client, "bob")
    assert (page.status_code, "Use at least 5 characters." in page.text) == (422, True)
    assert "Use at least 5 letters." in page.text
    assert "dots, dashes" not in page.text
    assert usernames.propose("bob") == "member"
    assert usernames.propose("bob", "Robert") == "robert"
    create = ("users", "create", "--no-input", "--email", "eve@example.com", "--username")
    assert "Use at least 5 characters." in flask(*create, "root").output
    assert flask(*create, "admin").exit_code == 0, "reserved names are for administrators"


def test_our_rule_for_usernames_can_be_removed(client, ada, monkeypatch):
    monkeypatch.setattr(usernames, "CHECKS", [])
    client.log_in(ada)
    assert rename(client, "admin").location == "/account"
    assert rename(client, "1").status_code == 422, "the form of usernames is fixed"


def test_a_long_username_is_compared_quickly(app):
    for name in ("a" + "rn" * 31, "a" + "l1I" * 21, "a" + "vv" * 31, "adm" + "1" * 61, "admin" + "0" * 59):
        usernames.check(name, by_administrator=True)
        with suppress(ValueError):
            usernames.check(name)
