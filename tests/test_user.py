"""The public methods of User, as applications use them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import aliased
from support.clients import PASSWORD, on_sqlite

from app.extensions import db
from app.models import User
from app.security.hashing import check_password


def test_a_password_is_stored_as_a_hash(ada):
    assert ada.password_hash.startswith("pbkdf2:sha256:1$")
    with pytest.raises(AttributeError):
        ada.password  # noqa: B018
    assert ada.verify_password(PASSWORD)
    assert not ada.verify_password("cat")


def test_password_hashes_are_salted(app):
    assert User(password="cat").password_hash != User(password="cat").password_hash


@pytest.mark.extended
@pytest.mark.parametrize("settings", [{"PASSWORD_HASH": "scrypt:16384:8:5"}])
def test_the_password_hash_is_scrypt(ada):
    assert ada.password_hash.startswith("scrypt:16384:8:5$")
    assert ada.verify_password(PASSWORD)
    assert not ada.verify_password(PASSWORD + "\0"), "scrypt stops at the NUL"


@pytest.mark.parametrize(
    ("kept", "typed", "matches"),
    [
        ("cafe\u0301 au lait", "caf\u00e9 au lait", True),  # composed or not
        ("\ufb01ne words here", "fine words here", False),  # a ligature is not its letters
        ("trailing space ", "trailing space", False),
        ("Case matters here", "case matters here", False),
        ("a" * 72 + "b", "a" * 72 + "c", False),
    ],
)
def test_passwords_are_compared_exactly(app, kept, typed, matches):
    assert User(password=kept).verify_password(typed) is matches


@on_sqlite
@pytest.mark.parametrize(
    "stored",
    [
        None, "", "!", "plain", "md5$salt$0", "scrypt:1:2$x", "scrypt:a:b:c$x$0", "$$$", "pbkdf2:sha256:1$a$é",
        "pbkdf2:sha256:99999999999999999999$a$b",
    ],
)  # fmt: skip
def test_an_unknown_or_empty_hash_never_verifies_and_never_raises(app, stored):
    assert [check_password(stored, password) for password in ("", "plain", "\0", "\ud800")] == [False] * 4


def test_a_password_with_nul_is_refused(app):
    with pytest.raises(ValueError, match="NUL"):
        User(password="cat\0")


@pytest.mark.parametrize("settings", [{"PASSWORD_HASH": "pbkdf2:sha256:2"}])
def test_a_login_renews_an_old_hash_and_keeps_links_valid(client, ada):
    from werkzeug.security import generate_password_hash

    old = ada.password_hash = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
    db.session.commit()
    token = ada.generate_reset_token()
    client.log_in(ada, "wrong")
    assert ada.password_hash == old
    client.log_in(ada)
    assert ada.password_hash.startswith("pbkdf2:sha256:2$")
    assert ada.verify_password(PASSWORD)
    assert User.reset_password(token, "another lantern")


def test_case_does_not_make_a_second_account(ada):
    for taken in ({"email": "ADA@example.com", "username": "eve"}, {"email": "eve@example.com", "username": "ADA"}):
        db.session.add(User(password=PASSWORD, **taken))
        with pytest.raises(IntegrityError):
            db.session.commit()
        db.session.rollback()


def test_a_database_error_does_not_contain_the_row(ada):
    """Errors are logged, and the log must not contain hashes."""
    db.session.add(User(email="ada@example.com", username="eve", password=PASSWORD))
    with pytest.raises(IntegrityError) as refused:
        db.session.commit()
    db.session.rollback()
    assert "pbkdf2" not in str(refused.value)


def test_a_user_id_is_never_reused(app, ada):
    old = ada.id
    db.session.delete(ada)
    db.session.commit()
    eve = User(email="eve@example.com", username="eve", password=PASSWORD)
    db.session.add(eve)
    db.session.commit()
    assert eve.id > old


def test_confirm(bob, clock):
    token = bob.generate_confirmation_token()
    assert not bob.confirmed
    assert bob.confirm(token)
    assert bob.confirmed
    assert not bob.confirm(token)


def test_confirm_expiration_can_only_shorten_the_tokens_life(bob, clock):
    long, short = bob.generate_confirmation_token(expiration=7200), bob.generate_confirmation_token(expiration=60)
    clock.move(seconds=61)
    assert not bob.confirm(short, expiration=3600)
    assert not bob.confirm(long, expiration=60)
    assert bob.confirm(long, expiration=62)


def test_an_email_change_invalidates_the_confirmation_token(bob):
    token = bob.generate_confirmation_token()
    bob.email = "robert@example.com"
    db.session.commit()
    assert not bob.confirm(token)


@pytest.mark.parametrize("nothing", [None, 5, b"abc", []])
def test_a_text_that_is_not_a_token_is_refused(ada, bob, nothing):
    assert not bob.confirm(nothing)
    assert not User.reset_password(nothing, "another lantern")
    assert not ada.change_email(nothing)


def test_reset_and_email_change_tokens_invalidate_each_other(ada):
    reset, change = ada.generate_reset_token(), ada.generate_email_change_token("ada@new.example")
    ada.password = "another lantern"
    db.session.commit()
    assert not ada.change_email(change)
    reset = ada.generate_reset_token()
    ada.email = "ada@newer.example"
    db.session.commit()
    assert not User.reset_password(reset, "a third lantern")


def test_reset_refuses_an_empty_password(ada):
    with pytest.raises(ValueError, match="empty"):
        User.reset_password(ada.generate_reset_token(), "")


@pytest.mark.parametrize("address", ["", "noat", "a@", "@b", "a@b@c", "x\r\nBcc: z@example.com", "a\0@example.com"])
def test_change_email_refuses_an_invalid_address(ada, address):
    assert not ada.change_email(ada.generate_email_change_token(address))
    assert ada.email == "ada@example.com"


@pytest.mark.parametrize("login", ["\ud800", "\ud800@example.com", "a\0", "@", ""])
def test_find_returns_nobody_for_an_invalid_login(ada, login):
    assert User.find(login) is None


def test_reset_password(ada, clock):
    token, other = ada.generate_reset_token(), ada.generate_reset_token(expiration=7200)
    assert User.reset_password(token, "another lantern")
    assert ada.verify_password("another lantern")
    assert not User.reset_password(token, "third lantern")
    assert not User.reset_password(other, "third lantern")
    assert not User.reset_password("abc", "third lantern")
    late = ada.generate_reset_token()
    clock.move(seconds=3600)
    assert not User.reset_password(late, "third lantern")


def test_a_reset_token_of_a_deleted_account_does_nothing(ada):
    token = ada.generate_reset_token()
    db.session.delete(ada)
    db.session.commit()
    assert not User.reset_password(token, "another lantern")


def test_change_email(ada, bob):
    token = ada.generate_email_change_token("ada@new.example")
    late = ada.generate_email_change_token("ada@late.example")
    assert not bob.change_email(token)
    assert ada.change_email(token)
    assert (ada.email, ada.email_key) == ("ada@new.example", "ada@new.example")
    assert not ada.change_email(late), "the email address has changed since"


@pytest.mark.parametrize("has_written", [True, False])
def test_change_email_to_an_address_taken_in_a_race_rolls_back_nothing_else(ada, bob, monkeypatch, has_written):
    monkeypatch.setattr("app.models.user.is_free", lambda *_: [])  # only the unique constraint notices
    ada.is_admin = has_written
    assert not ada.change_email(ada.generate_email_change_token("bob@example.com"))
    db.session.commit()
    assert (ada.email, ada.is_admin) == ("ada@example.com", has_written)


def test_change_email_does_not_commit(ada):
    assert ada.change_email(ada.generate_email_change_token("ada@new.example"))
    db.session.rollback()
    assert ada.email == "ada@example.com"


def test_consume_compares_with_the_database(app, bob):
    """Another request has changed the row since this one read it."""
    token = bob.generate_confirmation_token()
    assert not bob.confirmed
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET confirmed = true")
    assert not bob.confirm(token)


@on_sqlite
@pytest.mark.parametrize(
    "email",
    ["a@b", "", "ada", "a b@example.com", "ada@example..com", "ada@", "@example.com", "a\0@example.com", "x@y.com\n.",
     "ada@example.com, bob@example.com", "Ada <a@example.com>", "a" * 65 + "@example.com", "ada@" + "x" * 260, None, 5],
)  # fmt: skip
def test_the_model_refuses_an_address_that_the_forms_refuse(ada, email):
    with pytest.raises(ValueError, match=r"."):
        User(email=email, username="eve", password=PASSWORD)
    with pytest.raises(ValueError, match=r"."):
        ada.email = email
    assert (ada.email, ada.email_key) == ("ada@example.com", "ada@example.com")


@on_sqlite
@pytest.mark.parametrize("username", ["a b!", "", "1ada", "_ada", "a" * 65, "ada@example.com", "ad\0a", "adä", None])
def test_the_model_refuses_a_username_that_the_forms_refuse(ada, username):
    with pytest.raises(ValueError, match=r"."):
        User(email="eve@example.com", username=username, password=PASSWORD)
    with pytest.raises(ValueError, match=r"."):
        ada.username = username
    assert (ada.username, ada.username_key) == ("ada", "ada")


def test_the_model_stores_the_normal_form(app):
    eve = User(email=" Eve@EXAMPLE.com\t", username=" Eve ", password=PASSWORD)
    assert (eve.email, eve.email_key, eve.username, eve.username_key) == (
        "Eve@example.com", "eve@example.com", "Eve", "eve"
    )  # fmt: skip


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM", " ada@example.com "])
def test_a_user_is_found_by_any_spelling_of_the_email_address(ada, bob, email):
    assert User.query.filter_by(email=email).one() is ada
    assert db.session.scalars(select(User).where(User.email == email)).all() == [ada]
    assert db.session.scalars(select(User).where(User.email != email)).all() == [bob]
    other = aliased(User)
    assert db.session.scalars(select(other.id).where(other.email == email)).all() == [ada.id]


def test_a_user_is_found_by_any_case_of_the_username(ada):
    assert User.query.filter_by(username="ADA").one() is ada
    for nobody in ("", "a\0", "\ud800", "x@", "@", "a@b@c", "x" * 300):
        assert User.query.filter_by(email=nobody).first() is None
        assert User.query.filter_by(username=nobody).first() is None
    assert db.session.scalars(select(User.username).where(User.email.like("ada@%"))).all() == ["ada"]
    assert db.session.scalars(select(User.email).order_by(User.username)).all() == ["ada@example.com"]
    assert "email_key" in str(select(User).where(User.email == "a@example.com"))


@pytest.mark.parametrize("naive", [datetime(2030, 1, 1), datetime.max])
def test_a_datetime_without_a_time_zone_is_refused_where_it_is_assigned(ada, naive):
    with pytest.raises(ValueError, match="no time zone"):
        User(email="eve@example.com", username="eve", created_at=naive)
    with pytest.raises(ValueError, match="no time zone"):
        ada.deactivated_at = naive
    assert ada.deactivated_at is None
    with pytest.raises(StatementError, match="no time zone"):
        db.session.scalars(select(User).where(User.created_at < naive)).all()


def test_a_datetime_of_another_zone_is_the_same_moment(ada):
    ada.deactivated_at = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    db.session.commit()
    assert ada.deactivated_at == datetime(2030, 1, 1, 6, 30, tzinfo=UTC)
    assert ada.deactivated_at.utcoffset() == timedelta(0)
