"""Signals to an application built on this one, such as one that keeps a visitor's cart at the login."""

import inspect
import json
import re

import pytest
from flask import session
from support.clients import PASSWORD, ROOT
from support.emails import code_in
from support.login_methods import by_button, by_code, by_link, by_password
from support.passkeys import Key, add
from support.passkeys import log_in as by_passkey
from support.passwords import NEW_TWICE, choose
from support.registration import FORM
from support.sso import travel
from support.ways import ways

from app import signals
from app.accounts import cleanup
from app.extensions import db
from app.models import User

ALL = ("user_registered", "user_confirmed", "user_logged_in", "user_logged_out", "password_changed", "email_changed",
       "user_deleted")  # fmt: skip


@pytest.fixture
def told(own_app, app):
    """The signals that were sent, with their values; each receiver uses the database."""
    heard, receivers = [], []  # signals hold weak references to their receivers
    for name in ALL:

        def hear(sender, name=name, **values):
            assert sender is app
            assert User.query.count() >= 0
            values = {key: value.email if key == "user" else value for key, value in values.items()}
            heard.append((name, values))

        receivers.append(hear)
        getattr(signals, name).connect(hear, app)
    app.add_url_rule("/fill", "fill", lambda: session.update(cart=["rose"], seen=1) or "filled")
    yield heard
    receivers.clear()


def names(told):
    return [name for name, _ in told]


def carts(told):
    return [values["previous_session"] for name, values in told if name == "user_logged_in"]


CART = {"cart": ["rose"], "seen": 1}


def by_registration(client, outbox):
    client.post("/auth/register", data=FORM)


@pytest.mark.parametrize("way", [by_password, by_link, by_code, by_registration], ids=lambda way: way.__name__)
def test_user_logged_in_signal_carries_the_cart_of_the_visitor(client, ada, outbox, told, way):
    client.get("/fill")
    way(client, outbox)
    assert carts(told) == [CART]
    assert names(told) == (["user_registered"] if way is by_registration else []) + ["user_logged_in"]
    with client.session_transaction() as after:
        assert "cart" not in after


def test_cart_survives_two_factor_authentication(told, client, ada, phone):
    told.clear()
    client.get("/fill")
    client.log_in(ada)
    assert carts(told) == []
    phone.clock.move(minutes=2)
    client.post("/auth/two-factor/verify", data={"code": phone.code()})
    assert carts(told) == [CART]


def test_cart_survives_a_login_through_a_provider(told, app, client, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    client.get("/fill")
    travel(client, issuer)
    assert carts(told) == [CART]
    assert names(told) == ["user_registered", "user_confirmed", "user_logged_in"]


def test_cart_survives_a_login_by_passkey(told, client, another_client, ada):
    key = Key()
    client.log_in(ada)
    add(client, key)
    told.clear()
    another_client.get("/fill")
    by_passkey(another_client, key)
    assert carts(told) == [CART]


def test_cart_survives_a_password_reset(told, client, ada, outbox):
    client.get("/fill")
    client.post("/auth/reset", data={"email": ada.email})
    new = {"password": "a heron in the reeds", "confirm_password": "a heron in the reeds"}
    client.post(outbox.link(), data=new)
    client.log_in(ada, "a heron in the reeds")
    assert names(told) == ["password_changed", "user_logged_in"]
    assert carts(told) == [CART]


def test_signal_receiver_can_keep_the_cart_in_the_new_session(app, client, ada, told):
    def claim(sender, user, previous_session, **_):
        session["cart"] = previous_session["cart"]
        user.username = "ada2"
        db.session.commit()

    with signals.user_logged_in.connected_to(claim, app):
        client.get("/fill")
        client.log_in(ada)
    with client.session_transaction() as after:
        assert after["cart"] == ["rose"]
    assert db.session.get(User, ada.id).username == "ada2"


def test_error_in_a_signal_receiver_is_logged_and_the_login_succeeds(app, client, ada, told, caplog):
    def fail(sender, user, **_):
        user.username = None
        db.session.commit()

    with signals.user_logged_in.connected_to(fail, app):
        assert client.log_in(ada).location == "/"
    assert client.get("/account").status_code == 200
    assert "A receiver of user-logged-in failed." in caplog.text
    assert names(told) == ["user_logged_in"]


def test_rollback_discards_pending_signals(app, ada, told):
    signals.send_after_commit(db.session(), signals.password_changed, user=ada)
    db.session.rollback()
    db.session.commit()
    assert told == []


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_a_registration_with_a_taken_address_sends_no_signal_at_its_deletion(client, ada, clock, told):
    client.post("/auth/register", data=FORM | {"email": ada.email})
    assert User.find("eve")
    clock.move(days=8)
    cleanup.run("unconfirmed_accounts")
    assert (User.find("eve"), told) == (None, [])


# Each story ends with what the signals are about; a story that needs more before clears `told`.

REGISTERED, CONFIRMED, IN, OUT = "user_registered", "user_confirmed", "user_logged_in", "user_logged_out"
PASSWORD_CHANGED, EMAIL_CHANGED, DELETED = "password_changed", "email_changed", "user_deleted"
EVE = FORM["email"]


def link_to(outbox, address):
    """Return the path of the link in the newest email to an address."""
    [*_, newest] = [email for email in outbox() if email.recipients == [address]]
    return re.search(r"http://localhost(/auth/\S+)", newest.body)[1]


def hidden(app):
    app.config["PREVENT_ENUMERATION"] = True


def at_acme(app, client, issuer, **claims):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    return travel(client, issuer, **claims)


def registers(client):
    client.post("/auth/register", data=FORM)


def registers_by_invitation(flask, client, outbox):
    flask("users", "invite", FORM["email"])
    client.post(outbox.link(), data=FORM)


def registers_for_a_passkey(client):
    client.post("/auth/register", data=FORM | {"by_passkey": "y"})


def registers_where_accounts_are_hidden(app, client):
    hidden(app)
    client.post("/auth/register", data=FORM)


def registers_again_where_accounts_are_hidden(app, client, ada):
    hidden(app)
    client.post("/auth/register", data=FORM | {"email": ada.email})


def registers_at_a_provider(app, client, issuer):
    at_acme(app, client, issuer)


def registers_with_an_unverified_address(app, client, issuer):
    at_acme(app, client, issuer, email_verified=False)


def registers_at_a_provider_without_an_address(app, client, issuer):
    at_acme(app, client, issuer, email=None)
    client.post("/auth/sso/acme/address", data={"email": EVE})


def is_created(flask):
    flask("users", "create", "--email", EVE, "--username", "eve", "--no-input")


def is_created_confirmed(flask):
    flask("users", "create", "--email", EVE, "--username", "eve", "--no-input", "--confirmed")


def is_imported(flask, tmp_path):
    (tmp_path / "users.jsonl").write_text(json.dumps({"email": EVE, "username": "eve", "confirmed": True}))
    flask("users", "import", str(tmp_path / "users.jsonl"))
    assert User.find("eve")


def confirms_by_link(client, outbox, told):
    registers(client)
    told.clear()
    client.get(outbox.link())


def confirms_by_code(client, outbox, told):
    registers(client)
    told.clear()
    client.post("/auth/unconfirmed", data={"code": code_in(outbox()[-1])})


def confirms_where_accounts_are_hidden(app, client, outbox, told):
    registers_where_accounts_are_hidden(app, client)
    told.clear()
    client.post(outbox.link(), data={"password": PASSWORD})


def is_confirmed_by_a_command(flask, bob):
    flask("users", "confirm", "bob")


def has_the_email_changed_by_a_command(flask, ada):
    flask("users", "set-email", "ada", "countess@example.com")


def first_proof_by_link(client, bob, outbox):
    by_button(client, outbox, bob.email)


def first_proof_by_code(client, bob, outbox):
    by_code(client, outbox, bob.email)


def first_proof_by_reset(client, bob, outbox):
    client.post("/auth/reset", data={"email": bob.email})
    choose(client, outbox.link())


def first_proof_at_a_provider(app, client, bob, issuer):
    at_acme(app, client, issuer, email=bob.email)


def logs_in_by_passkey(client, another_client, ada, told):
    key = Key()
    client.log_in(ada)
    add(client, key)
    told.clear()
    by_passkey(another_client, key)


def logs_in_by_link(client, ada, outbox):
    by_link(client, outbox)


def logs_in_by_code(client, ada, outbox):
    by_code(client, outbox)


def logs_in_by_password(client, ada):
    client.log_in(ada)


def logs_in_with_two_factors(client, ada, phone, told):
    told.clear()
    client.log_in(ada)
    assert told == []
    phone.clock.move(minutes=2)
    client.post("/auth/two-factor/verify", data={"code": phone.code()})


def logs_in_with_a_device_code(app, client, ada, outbox, told):
    client.log_in(ada)
    app.config["VERIFY_NEW_DEVICES"] = True
    told.clear()
    other = app.test_client()
    other.log_in(ada)
    assert told == []
    other.post("/auth/verify-device", data={"code": code_in(outbox()[-1])})


def logs_in_at_a_provider(app, client, another_client, issuer, told):
    at_acme(app, client, issuer)
    told.clear()
    at_acme(app, another_client, issuer)


def logs_out(client, ada, told):
    client.log_in(ada)
    told.clear()
    client.post("/auth/logout")


def logs_out_on_the_devices_page(client, ada, told):
    client.log_in(ada)
    told.clear()
    client.post(re.search(r"/auth/devices/[^/\"]+/revoke\b", client.get("/auth/devices").text)[0])
    assert client.get("/account").status_code == 302


def is_logged_out_by_others(client, another_client, ada, flask, told):
    """A revoked session ends without a request of its browser, and without a signal."""
    client.log_in(ada)
    another_client.log_in(ada)
    told.clear()
    client.post("/auth/devices/revoke-others")
    assert another_client.get("/account").status_code == 302
    flask("users", "log-out", "ada")
    assert client.get("/account").status_code == 302


def asks_for_deletion(client, ada, told):
    client.log_in(ada)
    told.clear()
    client.post("/auth/delete", data={"email": ada.email})
    assert client.get("/account").status_code == 302


def changes_the_password(client, ada, told):
    client.log_in(ada)
    told.clear()
    client.post("/auth/change-password", data={"old_password": PASSWORD} | NEW_TWICE)


def sets_a_first_password(app, client, issuer, outbox, told):
    at_acme(app, client, issuer)
    told.clear()
    client.post("/auth/reset", data={"email": "ada@example.com"})
    choose(client, outbox.link())


def removes_the_password(client, ada, told):
    client.log_in(ada)
    add(client, Key())
    told.clear()
    client.post("/auth/remove-password")


def resets_the_password(client, ada, outbox):
    client.post("/auth/reset", data={"email": ada.email})
    choose(client, outbox.link())


def changes_the_email(client, ada, outbox, told):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "new@example.com", "password": PASSWORD})
    told.clear()
    client.get(link_to(outbox, "new@example.com"))
    assert told[0][1] == {"user": "new@example.com", "old_email": "ada@example.com"}


def corrects_the_email(client, told):
    registers(client)
    told.clear()
    client.post("/auth/unconfirmed", data={"email": "eva@example.com"})
    assert told[0][1] == {"user": "eva@example.com", "old_email": EVE}


def changes_an_unconfirmed_email(app, client, outbox, told):
    app.config["CONFIRMATION"] = "later"
    registers(client)
    client.post("/auth/change-email", data={"email": "new@example.com", "password": PASSWORD})
    told.clear()
    client.get(link_to(outbox, "new@example.com"))


def takes_the_account_back(client, another_client, ada, outbox, told):
    changes_the_email(client, ada, outbox, told)
    told.clear()
    choose(another_client, link_to(outbox, "ada@example.com"), "a lighthouse keeper sleeps at noon")
    assert ("email_changed", {"user": "ada@example.com", "old_email": "new@example.com"}) in told


def takes_an_unconfirmed_account_back(client, another_client, outbox, told):
    registers_for_a_passkey(client)
    client.post("/auth/reauthenticate", data={"send_code": "y"})
    told.clear()
    link = re.search(r"http://localhost(/auth/secure-account/\S+)", outbox()[-1].body)[1]
    choose(another_client, link, "a lighthouse keeper sleeps at noon")


def is_deleted_after_the_grace_period(client, ada, clock, told):
    asks_for_deletion(client, ada, told)
    clock.move(days=15)
    cleanup.run("deleted_accounts", even_if_done=True)


def is_deleted_by_a_command(flask, ada, told):
    number = ada.id
    flask("users", "delete", "ada", "--now", "--yes")
    assert told == [("user_deleted", {"user_id": number, "email": "ada@example.com", "username": "ada"})]


def is_to_be_deleted_by_a_command(flask, ada):
    flask("users", "delete", "ada", "--yes")


def is_deleted_unconfirmed(bob, clock):
    clock.move(days=8)
    cleanup.run("unconfirmed_accounts", even_if_done=True)


STORIES = {
    registers: ("auth.registration.register", REGISTERED, IN),
    registers_by_invitation: ("auth.invitations.accept_invitation", REGISTERED, CONFIRMED, IN),
    registers_for_a_passkey: ("auth.registration.register", REGISTERED, IN),
    registers_where_accounts_are_hidden: ("auth.registration.register", REGISTERED),
    registers_again_where_accounts_are_hidden: ("auth.registration.register",),
    registers_at_a_provider: ("auth.sso.sso_callback", REGISTERED, CONFIRMED, IN),
    registers_with_an_unverified_address: ("auth.sso.sso_callback", REGISTERED, IN),
    registers_at_a_provider_without_an_address: ("auth.sso.sso_address", REGISTERED, IN),
    is_created: ("cli.create.create", REGISTERED),
    is_created_confirmed: ("cli.create.create", REGISTERED, CONFIRMED),
    is_imported: ("cli.imports.import_users",),
    confirms_by_link: ("auth.confirmation.confirm", CONFIRMED),
    confirms_by_code: ("auth.confirmation.unconfirmed", CONFIRMED),
    confirms_where_accounts_are_hidden: ("auth.confirmation.confirm", CONFIRMED, IN),
    is_confirmed_by_a_command: ("cli.users.confirm", CONFIRMED),
    first_proof_by_link: ("auth.magic_links.use_magic_link", CONFIRMED, PASSWORD_CHANGED, IN),
    first_proof_by_code: ("auth.magic_links.magic_link_sent", CONFIRMED, PASSWORD_CHANGED, IN),
    first_proof_by_reset: ("auth.passwords.reset_password", CONFIRMED, PASSWORD_CHANGED),
    first_proof_at_a_provider: ("auth.sso.sso_callback", CONFIRMED, PASSWORD_CHANGED, IN),
    logs_in_by_password: ("auth.login.login", IN),
    logs_in_by_passkey: ("auth.login.login", IN),
    logs_in_by_link: ("auth.magic_links.use_magic_link", IN),
    logs_in_by_code: ("auth.magic_links.magic_link_sent", IN),
    logs_in_with_two_factors: ("auth.two_factor_verification.two_factor_verify", IN),
    logs_in_with_a_device_code: ("auth.device_verification.verify_device", IN),
    logs_in_at_a_provider: ("auth.sso.sso_callback", IN),
    logs_out: ("auth.login.logout", OUT),
    logs_out_on_the_devices_page: ("auth.sessions.revoke_device", OUT),
    is_logged_out_by_others: ("auth.sessions.revoke_other_devices",),
    asks_for_deletion: ("auth.account_deletion.delete",),
    changes_the_password: ("auth.passwords.change_password", PASSWORD_CHANGED),
    sets_a_first_password: ("auth.passwords.reset_password", PASSWORD_CHANGED),
    removes_the_password: ("auth.passwords.remove_password", PASSWORD_CHANGED),
    resets_the_password: ("auth.passwords.reset_password", PASSWORD_CHANGED),
    changes_the_email: ("auth.email_change.change_email_link", EMAIL_CHANGED),
    corrects_the_email: ("auth.confirmation.unconfirmed", EMAIL_CHANGED),
    changes_an_unconfirmed_email: ("auth.email_change.change_email_link", EMAIL_CHANGED, CONFIRMED),
    has_the_email_changed_by_a_command: ("cli.users.set_email", EMAIL_CHANGED),
    takes_the_account_back: ("auth.secure_account.secure_account", PASSWORD_CHANGED, EMAIL_CHANGED),
    takes_an_unconfirmed_account_back: ("auth.secure_account.secure_account", CONFIRMED, PASSWORD_CHANGED),
    is_deleted_after_the_grace_period: ("accounts.cleanup.deleted_accounts", DELETED),
    is_deleted_unconfirmed: ("accounts.cleanup.unconfirmed_accounts", DELETED),
    is_deleted_by_a_command: ("cli.users.delete", DELETED),
    is_to_be_deleted_by_a_command: ("cli.users.delete",),
}
NEVER = {  # what the source allows, and the views don't
    (CONFIRMED, "auth.registration.register"),  # a form confirms nothing
    (CONFIRMED, "auth.sso.sso_address"),  # an address that the user enters is not verified
    (PASSWORD_CHANGED, "auth.sso.sso_address"),
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_signals_of_each_way(request, told, story):
    story(**{name: request.getfixturevalue(name) for name in inspect.signature(story).parameters})
    assert names(told) == list(STORIES[story][1:])


def test_each_way_to_send_a_signal_has_its_story():
    """Add a story for a new view, command or job that sends a signal."""
    told = {(signal, entry) for entry, *signals in STORIES.values() for signal in signals}
    assert ways() - NEVER == told


def test_the_documentation_lists_each_signal_with_its_values():
    page = (ROOT / "docs/building.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(user_\w+|\w+_changed)` \| .* \| (.*) \|$", page, re.MULTILINE))
    declared = re.findall(
        r"^(\w+) = _signals.*  # ([\w, ]+)", (ROOT / "app/signals.py").read_text("utf-8"), re.MULTILINE
    )
    assert {name: values.replace("`", "") for name, values in rows.items()} == dict(declared)


@pytest.mark.extended
def test_a_new_way_is_found():
    added = "from app.accounts import registration\n@bp.post('/x')\ndef x():\n    _create()\n"
    added += "def _create():\n    return registration.create(None)"
    found = ways({"app.auth.new": added}) - ways()
    assert found == {("user_registered", "auth.new.x"), ("user_confirmed", "auth.new.x")}
