"""A person's account: name, address, password, and what its tokens are bound to."""

import unicodedata
from datetime import datetime
from typing import Any, Optional

from flask import current_app
from flask_login import UserMixin
from sqlalchemy import Column, ColumnElement, Index, String, exists, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column, validates
from werkzeug.security import check_password_hash, generate_password_hash

from app import clock
from app.database import is_duplicate
from app.extensions import Model, db, rows_changed
from app.models.email_change import EmailChange
from app.models.logins import AnyCase, check_username, email_key, login_key, normal_email
from app.security import hashing, tokens

MAX_PASSWORD_LENGTH = 1024  # characters

# What a token of each purpose speaks of: it dies when one of these columns changes.
STATE = {
    "confirm": ("email", "confirmed"),
    "reset": ("email", "password_version"),
    "change_email": ("email", "password_version"),
    "magic_link": ("email", "password_version", "login_count"),
    "reauthentication": ("email", "password_version"),
    "verify_device": ("email", "password_version", "two_factor_enabled_at"),
    "secure_account": (),  # bound to its audit event
}


class User(UserMixin, Model):
    __tablename__ = "users"
    __table_args__ = (
        Index(
            None, "created_at", "id", postgresql_where=text("confirmed IS false"), sqlite_where=text("confirmed IS 0")
        ),
        Index(
            None,
            "deletion_due_at",
            "id",
            postgresql_where=text("deletion_due_at IS NOT NULL"),
            sqlite_where=text("deletion_due_at IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )
    __allow_unmapped__ = True  # current_session is no column

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = column_property(Column(String(254), nullable=False), comparator_factory=AnyCase)
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    username: Mapped[str] = column_property(Column(String(64), nullable=False), comparator_factory=AnyCase)
    username_key: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(256))
    password_version: Mapped[int] = mapped_column(default=0)
    login_count: Mapped[int] = mapped_column(default=0, server_default="0")  # how many there were
    confirmed: Mapped[bool] = mapped_column(default=False)
    confirmation_sent_at: Mapped[datetime | None]
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    deactivated_at: Mapped[datetime | None]
    two_factor_enabled_at: Mapped[datetime | None]  # since when two-factor authentication is asked for, without a break
    deletion_due_at: Mapped[datetime | None]  # asked for by the person, and not taken back
    next_login_trusted_until: Mapped[datetime | None]  # a new device needs no emailed code, once
    passkey_handle: Mapped[str | None] = mapped_column(String(43))  # what passkeys know the account by, random

    current_session: Any = None  # the UserSession that this request comes from

    # UserMixin's compares get_id(), which is None for everybody who is not the one logged in.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<User {self.username}>"

    @validates("email")
    def _normalize_email(self, _: str, email: str) -> str:
        """Take an address as the forms do: without spaces around it, its domain in lower case, or raise ValueError."""
        email = normal_email(_text(email).strip())
        self.email_key = email_key(email)
        return email

    @validates("username")
    def _normalize_username(self, _: str, username: str) -> str:
        """Take a name as the forms do, without spaces around it, or raise ValueError. Reserved names are the forms'."""
        username = _text(username).strip()
        check_username(username)
        self.username_key = username.lower()
        return username

    @classmethod
    def find(cls, login: str) -> Optional["User"]:
        """Return the account with this address or username, whatever its case."""
        try:
            return db.session.scalar(select(cls).where(cls.has_login(login_key(login))))
        except ValueError:
            return None

    @classmethod
    def has_login(cls, key: str) -> ColumnElement[bool]:
        """Return the condition that an account is called by what login_key() made of an address or a username."""
        return cls.email_key == key if "@" in key else cls.username_key == key

    # Flask-Login

    @property
    def is_active(self) -> bool:
        return self.deactivated_at is None

    def get_id(self) -> str | None:
        """Return the id of the session, not of the person: ending that row ends the browser."""
        session_id: str | None = self.current_session and self.current_session.id
        return session_id

    # Passwords

    @property
    def password(self) -> str:
        raise AttributeError("A password can't be read: only its hash is kept.")

    @password.setter
    def password(self, password: str) -> None:
        self.password_hash = hash_password(password)
        self.password_version = (self.password_version or 0) + 1

    def new_password(self, password: str | None) -> dict[str, Any]:
        """Return the changes that consume() makes for another password, or for none."""
        hashed = None if password is None else hash_password(password)
        return {"password_hash": hashed, "password_version": self.password_version + 1}

    def verify_password(self, password: str) -> bool:
        return check_password(self.password_hash, password)

    def renew_hash(self, password: str) -> None:
        """Hash `password` anew if it was hashed with other parameters than today's. Links in emails live on."""
        if not (self.password_hash or "").startswith(f"{current_app.config['PASSWORD_HASH']}$"):
            self.password_hash = hash_password(password)

    # Tokens

    def state(self, purpose: str) -> str:
        """Return the fingerprint of what a token of this purpose is about to change."""
        return tokens.fingerprint(*(getattr(self, column) for column in STATE[purpose]))

    def issue_token(self, purpose: str, lifetime: int | None = None, **extra: Any) -> str:
        return tokens.issue(purpose, self.id, self.state(purpose), lifetime, **extra)

    def owns(self, purpose: str, claims: tokens.Claims | None) -> bool:
        """Say whether these claims are this account's, and speak of it as it is now."""
        return claims is not None and claims.subject == self.id and claims.state == self.state(purpose)

    def lock(self) -> None:
        """Lock the account's row until the end of the transaction, and load it again.

        Every service that changes more than one row of an account takes this lock first, so that none deadlocks.
        """
        rows_changed(update(User).where(User.id == self.id).values(login_count=User.login_count))
        db.session.refresh(self)

    def consume(self, purpose: str, *conditions: ColumnElement[bool], **changes: Any) -> bool:
        """Make the changes that a token was for, unless somebody was faster: one conditional UPDATE."""
        columns = User.metadata.tables["users"].c  # compared exactly, the case of an address included
        unchanged = [columns[name] == getattr(self, name) for name in STATE[purpose]]
        mine = update(User).where(User.id == self.id, *unchanged, *conditions).values(changes)
        spent = rows_changed(mine.execution_options(synchronize_session=False))
        db.session.expire(self)
        return spent == 1

    def generate_confirmation_token(self, expiration: int = 3600) -> str:
        return self.issue_token("confirm", expiration)

    def confirm(self, token: str, expiration: int = 3600) -> bool:
        """Confirm the address that the token speaks of. `expiration` (seconds) can only shorten the token's life."""
        claims = tokens.read("confirm", token, max_age=expiration)
        return not self.confirmed and self.owns("confirm", claims) and self.consume("confirm", confirmed=True)

    def generate_reset_token(self, expiration: int = 3600) -> str:
        return self.issue_token("reset", expiration)

    @staticmethod
    def reset_password(token: str, new: str) -> bool:
        """Set the password of the account that the token is for, which confirms its address, too."""
        claims = tokens.read("reset", token)
        user = claims and db.session.get(User, claims.subject)
        if not user or not user.owns("reset", claims):
            return False
        return user.consume("reset", **user.new_password(new), confirmed=True)

    def generate_email_change_token(self, new: str, expiration: int = 3600) -> str:
        return self.issue_token("change_email", expiration, email=new)

    def change_email(self, token: str) -> bool:
        """Take the address that the token carries, if nobody else has it."""
        claims = tokens.read("change_email", token)
        if not claims or not self.owns("change_email", claims):
            return False
        try:
            email = normal_email(claims.extra["email"])
        except ValueError:  # no address
            return False
        return self.take_email("change_email", email, email_key(email))

    def take_email(self, purpose: str, email: str, key: str) -> bool:
        """Have another address from now on, unless somebody else has it, or may still get it back.

        What was bound to the old one stays dead when it comes back: the password's version counts this, too.
        """
        new = {"email": email, "email_key": key, "password_version": User.password_version + 1}
        try:
            return self.consume(purpose, *is_free(key, self.id), **new)
        except IntegrityError as error:  # somebody takes it at this moment
            db.session.rollback()
            if not is_duplicate(error, "users.email_key"):
                raise
            return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("An account has an email address and a username, which are text.")
    return value


def is_free(key: str, user_id: int | None = None) -> list[ColumnElement[bool]]:
    """Return the conditions that an address (its key) is nobody's but this account's, and is held for nobody else."""
    others = aliased(User)
    return [
        ~exists().where(others.email_key == key, others.id != (user_id or 0)),
        ~exists().where(
            EmailChange.old_email_key == key, EmailChange.user_id != (user_id or 0), *EmailChange.can_be_undone()
        ),
    ]


def hash_password(password: str) -> str:
    """Hash a password in its composed form (NFC). Raises ValueError if it is empty or has a NUL, where scrypt stops."""
    if not password or "\0" in password or len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError("A password can't be empty, hold a NUL or be longer than 1024 characters.")
    normal = unicodedata.normalize("NFC", password)
    return hashing.threads.run(generate_password_hash, normal, current_app.config["PASSWORD_HASH"])


def check_password(stored: str | None, password: str) -> bool:
    """Say whether `stored` is the hash of `password`, with the same work if there is no hash, or none that counts."""
    is_too_long = len(password) > MAX_PASSWORD_LENGTH
    password = unicodedata.normalize("NFC", password[:MAX_PASSWORD_LENGTH])
    nobodys = f"{current_app.config['PASSWORD_HASH']}$nobody$0"
    for attempt in (stored, nobodys):
        try:
            if attempt:
                is_right = hashing.threads.run(check_password_hash, attempt, password)
                return is_right and attempt is stored and "\0" not in password and not is_too_long
        except (ValueError, TypeError, OverflowError):
            continue
    return False
