"""Export and delete the personal data of a user: their rows in all registered tables."""

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, ForeignKeyConstraint, Table, and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import sort_tables_and_constraints

from app import switches
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import (
    AuditAction,
    AuditEvent,
    Authenticator,
    Device,
    EmailChallenge,
    EmailChange,
    Identity,
    Invitation,
    OAuthState,
    OutboxEmail,
    Passkey,
    PasskeyChallenge,
    PasskeyRequirement,
    RecoveryCode,
    RemovedCredential,
    User,
    UserSession,
)
from app.models.personal_data import (
    SECRETS,
    Holder,
    below,
    blocking,
    depends_on,
    register,
    registered,
    table_of,
    unregistered,
)
from app.switches import is_on

__all__ = ["SECRETS", "below", "blocking", "register", "registered", "table_of", "unregistered"]

HAVE_ORIGIN = {UserSession, AuditEvent, OutboxEmail}  # rows with the IP address and user agent of a request


class Undeletable(Exception):
    """A row of another user, or of a table that is not registered, refers to rows that should be deleted."""


def descriptions() -> list[str]:
    """Return the descriptions of all tables, each once, without those that are switched off."""
    off = {TWO_FACTOR: not switches.is_on("two_factor"), PASSKEYS: not switches.is_on("passkey")}
    found = dict.fromkeys(registration.description for registration in registered.values())
    return [description for description in found if not off.get(description)]


def rows(user: User, model: Holder) -> Iterator[dict[str, Any]]:
    """Yield the rows of a user in a table, without secrets."""
    table = table_of(model)
    secret = SECRETS if is_on("username") else SECRETS | {"users.username", "users.username_key"}
    columns = [column for column in table.columns if f"{table.name}.{column.name}" not in secret]
    columns += [column.label(name) for name, column in registered[model].names.items()]
    mine = [registered[model].condition(user)]
    if model is OutboxEmail:  # sent only if the new address has no account, so it would tell the user whether it has
        mine.append(OutboxEmail.name != Email.CHANGE_EMAIL)
    own = _own_origins(user) if model in HAVE_ORIGIN else set()
    for row in db.session.execute(select(*columns).where(*mine).execution_options(yield_per=1000)).mappings():
        yield _without_strangers(dict(row), own) if model in HAVE_ORIGIN else dict(row)


def as_json(user: User, model: Holder) -> Iterator[str]:
    """Yield the rows of a user in a table as a JSON array, in parts."""
    before = "[\n"
    for row in rows(user, model):
        yield before + json.dumps(row, default=in_json, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def in_json(value: object) -> str:
    """Return a value for which JSON has no type as text: bytes, such as a picture, in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def everything(user: User) -> dict[str, list[dict[str, Any]]]:
    return {table_of(model).name: list(rows(user, model)) for model in registered}


def erase(user: User) -> None:
    """Delete all rows of a user, rows that refer to others first.

    Raises:
        Undeletable: another row refers to one of these rows. The message names its table.
    """
    conditions = {table_of(model): registration.condition(user) for model, registration in registered.items()}
    in_order = sort_tables_and_constraints(conditions, _is_emptied)  # type: ignore[no-untyped-call]
    for table in reversed([table for table, _ in in_order if table is not None]):
        try:
            rows_changed(delete(table).where(conditions[table]))
        except IntegrityError as error:
            raise _undeletable(table, error) from error
    db.session.expunge_all()


def _is_emptied(key: ForeignKeyConstraint) -> bool | None:
    """Return True if the rows of both tables can be deleted in any order, as with the cover of an album."""
    conditions = {table_of(model): registration.condition for model, registration in registered.items()}
    condition = conditions[cast("Table", key.parent)]
    return (key.ondelete == "SET NULL" and not any(depends_on(condition, column) for column in key.columns)) or None


def _undeletable(table: Table, error: IntegrityError) -> Exception:
    others = [table.metadata.tables[name] for name in unregistered()]
    names = [other.name for other in others if any(key.column.table is table for key in other.foreign_keys)]
    reasons = [f"{name} refers to {table.name}. Register it with personal_data.register()." for name in names]
    reasons += [sentence for sentence, parent in blocking().items() if parent is table]
    return Undeletable(" ".join(reasons)) if reasons else error


def _own_origins(user: User) -> set[tuple[str, str]]:
    """Return the IP addresses and user agents with which the user logged in since they proved the email address.

    Other people can cause audit events and emails of an account, too: by a wrong password, a reset, a registration.
    """
    mine, action = AuditEvent.user_id == user.id, AuditEvent.action
    proved = select(func.max(AuditEvent.id)).where(mine, action == AuditAction.EMAIL_OWNERSHIP_PROVED)
    since = AuditEvent.id > func.coalesce(proved.scalar_subquery(), 0)
    logins = select(AuditEvent.ip, AuditEvent.user_agent).where(mine, action == AuditAction.LOGGED_IN, since)
    return {(row.ip, row.user_agent) for row in db.session.execute(logins.distinct())}


def _without_strangers(row: dict[str, Any], own: set[tuple[str, str]]) -> dict[str, Any]:
    """Remove the origin of a row unless the user logged in from there: it is another person's personal data."""
    found = row.get("details", row)
    if not found.get("ip") or (found["ip"], found.get("user_agent")) in own:
        return row
    hidden = {name: "" for name in ("ip", "network", "user_agent") if name in found}
    return row | ({"details": found | hidden} if "details" in row else hidden)


def _by_email(model: Any, address: Any, user: User) -> ColumnElement[bool]:
    """Return the condition that a row belongs to the user, or to their email address and no account.

    `coalesce` prevents the use of the index on `user_id`, which is NULL in most rows.
    """
    is_about_email = and_(address.in_([user.email_key, user.email.lower()]), func.coalesce(model.user_id, 0) == 0)
    return or_(model.user_id == user.id, is_about_email)


DEVICES = _l("Devices: where you're logged in, and which devices you trust")
CONNECTED = _l("Connected accounts, such as Google or Microsoft")
TWO_FACTOR = _l("Two-factor authentication: your authenticator app and recovery codes")
PASSKEYS = _l("Passkeys: their names, and when you used them")
EMAILS = _l("Emails and codes we sent you")

register(User, lambda user: User.id == user.id, _l("Your profile and email address"))
register(UserSession, lambda user: UserSession.user_id == user.id, DEVICES)
register(Device, lambda user: Device.user_id == user.id, DEVICES)
register(Identity, lambda user: Identity.user_id == user.id, CONNECTED)
register(OAuthState, lambda user: OAuthState.user_id == user.id, CONNECTED)
register(Authenticator, lambda user: Authenticator.user_id == user.id, TWO_FACTOR)
register(RecoveryCode, lambda user: RecoveryCode.user_id == user.id, TWO_FACTOR)
register(RemovedCredential, lambda user: RemovedCredential.user_id == user.id, _l("Login methods you removed recently"))
register(Passkey, lambda user: Passkey.user_id == user.id, PASSKEYS)
register(PasskeyRequirement, lambda user: PasskeyRequirement.user_id == user.id, TWO_FACTOR)
register(PasskeyChallenge, lambda user: PasskeyChallenge.user_id == user.id, PASSKEYS)
register(
    AuditEvent, lambda user: AuditEvent.user_id == user.id, _l("Security history: logins and changes to your account")
)
register(EmailChange, lambda user: EmailChange.user_id == user.id, _l("Email addresses you had recently"))
register(EmailChallenge, partial(_by_email, EmailChallenge, EmailChallenge.email_key), EMAILS)
register(OutboxEmail, partial(_by_email, OutboxEmail, OutboxEmail.recipient_key), EMAILS)
register(Invitation, partial(_by_email, Invitation, Invitation.email_key), _l("Invitations you received"))
