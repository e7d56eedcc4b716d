"""Signals to an application built on this, such as one that keeps a visitor's cart at the login."""

import pytest
from flask import session
from support.clients import PASSWORD, on_sqlite
from support.login_methods import by_code, by_link, by_password
from support.passkeys import Key, add
from support.passkeys import log_in as by_passkey
from support.registration import FORM
from support.sso import travel

from app import signals
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


def test_each_signal_is_sent_once_after_its_event(client, outbox, told):
    client.post("/auth/register", data=FORM)
    client.get(outbox.link())
    changed = {"old_password": PASSWORD, "password": "a heron in the reeds", "confirm_password": "a heron in the reeds"}
    client.post("/auth/change-password", data=changed)
    client.post("/auth/change-email", data={"email": "new@example.com", "password": "a heron in the reeds"})
    links = [email for email in outbox() if email.recipients == ["new@example.com"]]
    assert links
    client.get(links[-1].body.partition("http://localhost")[2].split()[0])
    client.post("/auth/logout")
    assert names(told) == ["user_registered", "user_logged_in", "user_confirmed", "password_changed", "email_changed",
                           "user_logged_out"]  # fmt: skip
    assert told[4][1] == {"user": "new@example.com", "old_email": "eve@example.com"}


@on_sqlite
def test_commands_send_signals(app, ada, told):
    number = ada.id
    done = app.test_cli_runner().invoke(args=["users", "delete", "ada", "--now", "--yes"])
    assert done.exit_code == 0, done.output
    assert told == [("user_deleted", {"user_id": number, "email": "ada@example.com", "username": "ada"})]
