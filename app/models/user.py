"""Users: accounts with an email address, a username, credentials and tokens."""

from datetime import datetime, timedelta
from typing import Any, Optional

from flask import current_app
from flask_login import UserMixin
from sqlalchemy import Column, ColumnElement, Index, String, exists, false, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column, validates
from sqlalchemy.orm.exc import ObjectDeletedError

from app import clock, time_zones
from app.database import is_duplicate
from app.extensions import Model, db, rows_changed
from app.models import user_groups
from app.models.email_change import EmailChange
from app.models.logins import AnyCase, check_username, email_key, login_key, normal_email
from app.models.role import HasRole
from app.security import signing
from app.security.hashing import check_password, hash_password
from app.security.token_purposes import TokenPurpose
from app.switches import is_on

WILL_BE_DELETED = text("deletion_due_at IS NOT NULL")
UNREACHABLE_FOR = timedelta(days=7)  # after an email came back; a full mailbox may have been emptied by then


class User(UserMixin, HasRole, Model):
    __tablename__ = "users"
    __table_args__ = (
        Index(
            None, "created_at", "id", postgresql_where=text("confirmed IS false"), sqlite_where=text("confirmed IS 0")
        ),
        Index(None, "deletion_due_at", "id", postgresql_where=WILL_BE_DELETED, sqlite_where=WILL_BE_DELETED),
        *user_groups.indexes(),
        {"sqlite_autoincrement": True},
    )
    __allow_unmapped__ = True  # current_session is not a column

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = column_property(Column(String(254), nullable=False), comparator_factory=AnyCase)
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    username: Mapped[str] = column_property(Column(String(64), nullable=False), comparator_factory=AnyCase)
    username_key: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(256))
    password_version: Mapped[int] = mapped_column(default=0)
    login_count: Mapped[int] = mapped_column(default=0, server_default="0")
    confirmed: Mapped[bool] = mapped_column(default=False)
    confirmation_sent_at: Mapped[datetime | None]
    email_bounced_at: Mapped[datetime | None]  # an email came back, because the address does not work
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    language: Mapped[str | None] = mapped_column(String(16))  # a tag of LANGUAGES; None: not known
    time_zone: Mapped[str | None] = mapped_column(String(64))  # an IANA name; None: not known
    deactivated_at: Mapped[datetime | None]
    two_factor_enabled_at: Mapped[datetime | None]  # None: off
    deletion_due_at: Mapped[datetime | None]  # None: no deletion was requested
    next_login_trusted_until: Mapped[datetime | None]  # until then, one new device can log in without a code
    passkey_handle: Mapped[str | None] = mapped_column(String(43))  # WebAuthn's user handle

    current_session: Any = None  # the UserSession of the current request

    # UserMixin compares get_id(), which is None for every user but the current one.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def known_as(self) -> str:
        """The username, or the email address where accounts have no usernames."""
        return self.username if is_on("username") else self.email

    @property
    def name_and_email(self) -> str:
        return f"{self.username} <{self.email}>" if is_on("username") else self.email

    @property
    def can_use_application(self) -> bool:
        """Whether the email address is confirmed, or need not be (CONFIRMATION)."""
        return self.confirmed or current_app.config["CONFIRMATION"] != "required"

    @property
    def is_unreachable(self) -> bool:
        """Whether emails to the address came back lately, so that none are sent for a while."""
        return self.email_bounced_at is not None and clock.is_within(self.email_bounced_at, UNREACHABLE_FOR)

    def __repr__(self) -> str:
        return f"<User {self.username}>"

    @validates("email")
    def _normalize_email(self, _: str, email: str) -> str:
        """Normalize an email address as the forms do; raise ValueError if it is invalid."""
        email = normal_email(_text(email).strip())
        self.email_key, self.email_bounced_at = email_key(email), None
        return email

    @validates("username")
    def _normalize_username(self, _: str, username: str) -> str:
        """Strip a username; raise ValueError if it is invalid. Only the forms refuse reserved names."""
        username = _text(username).strip()
        check_username(username)
        self.username_key = username.lower()
        return username

    @validates("language")
    def _check_language(self, _: str, language: str | None) -> str | None:
        if language and language not in current_app.config["LANGUAGES"]:
            raise ValueError(f"LANGUAGES has no {language!r}.")
        return language

    @validates("time_zone")
    def _normalize_time_zone(self, _: str, name: str | None) -> str | None:
        normal = time_zones.normal(name) if name else None
        if name and not normal:
            raise ValueError(f"TIME_ZONE is {name!r}.")
        return normal

    @classmethod
    def find(cls, login: str) -> Optional["User"]:
        """Return the user with this email address or username, in any case."""
        try:
            return db.session.scalar(select(cls).where(cls.has_login(login_key(login))))
        except ValueError:
            return None

    @classmethod
    def has_login(cls, key: str) -> ColumnElement[bool]:
        """Return the condition that this login_key() is the user's email address or username."""
        if "@" in key:
            return cls.email_key == key
        return cls.username_key == key if is_on("username") else false()

    # Flask-Login

    @property
    def is_active(self) -> bool:
        return self.deactivated_at is None

    def get_id(self) -> str | None:
        """Return the id of the session instead of the user's, so that revoking the session logs the device out."""
        session_id: str | None = self.current_session and self.current_session.id
        return session_id

    # Passwords

    @property
    def password(self) -> str:
        raise AttributeError("The password cannot be read, since only its hash is stored.")

    @password.setter
    def password(self, password: str) -> None:
        self.password_hash = hash_password(password)
        self.password_version = (self.password_version or 0) + 1

    @property
    def has_password(self) -> bool:
        return self.password_hash is not None and is_on("password")

    @property
    def has_two_factor(self) -> bool:
        return self.two_factor_enabled_at is not None and is_on("two_factor")

    def new_password(self, password: str | None) -> dict[str, Any]:
        """Return the column values that set, or remove, the password, for consume()."""
        hashed = None if password is None else hash_password(password)
        return {"password_hash": hashed, "password_version": self.password_version + 1}

    def verify_password(self, password: str) -> bool:
        return check_password(self.password_hash, password)

    def renew_hash(self, password: str) -> None:
        """Hash the password again if PASSWORD_HASH has changed. Outstanding links stay valid."""
        if not (self.password_hash or "").startswith(f"{current_app.config['PASSWORD_HASH']}$"):
            self.password_hash = hash_password(password)

    # Tokens

    def state(self, purpose: TokenPurpose) -> str:
        """Return a fingerprint of the columns that tokens of this purpose depend on."""
        return signing.fingerprint(*(getattr(self, column) for column in purpose.columns))

    def issue_token(self, purpose: TokenPurpose, lifetime: int | None = None, **extra: Any) -> str:
        """Return a token that is valid while the user's state() is unchanged, for `lifetime` seconds at most."""
        return signing.sign(purpose, self.id, self.state(purpose), lifetime, **extra)

    def owns(self, claims: signing.Claims | None) -> bool:
        """Return whether these claims are about this user in its present state()."""
        return claims is not None and claims.subject == self.id and claims.state == self.state(claims.purpose)

    def lock(self) -> None:
        """Lock the row until the end of the transaction, and refresh it.

        A service that changes several rows of one account takes this lock first, to avoid deadlocks.

        Raises:
            ObjectDeletedError: another request has deleted the account.
        """
        if not self._lock_row():
            raise ObjectDeletedError(inspect(self))
        db.session.refresh(self)

    def consume(self, purpose: TokenPurpose, *conditions: ColumnElement[bool], **changes: Any) -> bool:
        """Change columns in one conditional UPDATE, which invalidates the tokens of this purpose.

        Return False if another request has changed the columns that the purpose depends on.
        """
        changes |= {"email_bounced_at": None} if "confirmed" in changes else {}  # an emailed link has arrived
        columns = User.metadata.tables["users"].c  # AnyCase would compare without case
        unchanged = [columns[name] == getattr(self, name) for name in purpose.columns]
        mine = update(User).where(User.id == self.id, *unchanged, *conditions).values(changes)
        changed = rows_changed(mine.execution_options(synchronize_session=False))
        db.session.expire(self)
        return changed == 1

    # The names of flasky. Pages use the services, which also revoke sessions and notify the user.

    def generate_confirmation_token(self, expiration: int = 3600) -> str:
        return self.issue_token(TokenPurpose.CONFIRM, expiration)

    def confirm(self, token: str, expiration: int = 3600) -> bool:
        """Confirm the email address. `expiration` is in seconds, and cannot extend the lifetime of the token."""
        claims = signing.verify(token, TokenPurpose.CONFIRM, max_age=expiration)
        return not self.confirmed and self.owns(claims) and self.consume(TokenPurpose.CONFIRM, confirmed=True)

    def generate_reset_token(self, expiration: int = 3600) -> str:
        return self.issue_token(TokenPurpose.RESET, expiration)

    @staticmethod
    def reset_password(token: str, new: str) -> bool:
        """Set the password of the token's user, and confirm the email address."""
        claims = signing.verify(token, TokenPurpose.RESET)
        user = claims and db.session.get(User, claims.subject)
        if not user or not user.owns(claims):
            return False
        return user.consume(TokenPurpose.RESET, **user.new_password(new), confirmed=True)

    def generate_email_change_token(self, new: str, expiration: int = 3600) -> str:
        return self.issue_token(TokenPurpose.CHANGE_EMAIL, expiration, email=new)

    def change_email(self, token: str) -> bool:
        """Change to the email address in the token; return False if it is not available."""
        claims = signing.verify(token, TokenPurpose.CHANGE_EMAIL)
        return bool(claims and self.owns(claims) and self.take_email(claims.purpose, claims.extra["email"]))

    def take_email(self, purpose: TokenPurpose, email: str) -> bool:
        """Change the email address as consume() does; return False if the new one is invalid, taken or reserved.

        This increases the password version, so that links to the old address stay invalid if the user returns to it.
        """
        try:
            email = normal_email(email)
        except ValueError:
            return False
        key, version = email_key(email), User.password_version + 1
        self._lock_row()  # starts a transaction: without one, SQLite commits when it releases a savepoint
        try:
            with db.session.begin_nested():
                changes = {"email": email, "email_key": key, "password_version": version, "email_bounced_at": None}
                return self.consume(purpose, *is_free(key, self.id), **changes)
        except IntegrityError as error:  # another request has just taken the address
            if not is_duplicate(error, "users.email_key"):
                raise
            return False

    def _lock_row(self) -> bool:
        return rows_changed(update(User).where(User.id == self.id).values(login_count=User.login_count)) == 1


def is_free(key: str, user_id: int | None = None) -> list[ColumnElement[bool]]:
    """Return the conditions that no account but `user_id` has or reserves the email address with this email_key()."""
    others, own_id = aliased(User), user_id or 0
    reserved = (EmailChange.old_email_key == key, EmailChange.user_id != own_id, *EmailChange.reserving())
    return [~exists().where(others.email_key == key, others.id != own_id), ~exists().where(*reserved)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Email address and username must be strings.")
    return value
