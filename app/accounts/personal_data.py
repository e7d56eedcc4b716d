"""What the application holds about a person: every table of theirs is registered here, for export and deletion email.

A table of your own joins by one line beside its model, and so does one that refers to it:

    personal_data.register(Order, lambda user: Order.user_id == user.id, "what you ordered")
    personal_data.register(Item, personal_data.below(Item.order_id), "what was in each order")
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.schema import sort_tables

from app.email.templates import Email
from app.extensions import Model, db, rows_changed
from app.models import (
    AuditAction,
    AuditEvent,
    Authenticator,
    Device,
    EmailChallenge,
    EmailChange,
    Identity,
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

Mine = Callable[[User], ColumnElement[bool]]
Holder = type[Model] | Table  # an association table has no model
registered: dict[Holder, Mine] = {}
in_words: list[str] = []  # for those whose data they are

# What is in no export: it would let somebody in, or means nothing to anybody.
SECRETS = {
    "users.password_hash",
    "users.passkey_handle",
    "user_sessions.id",
    "user_sessions.device",
    "devices.key",
    "authenticators.secret",
    "recovery_codes.hash",
    "removed_credentials.row",
    "removed_credentials.known_by",
    "email_challenges.id",
    "email_challenges.state",
    "oauth_states.id",
    "oauth_states.nonce",
    "oauth_states.code_verifier",
    "passkeys.credential_id",
    "passkeys.public_key",
    "passkey_challenges.id",
    "passkey_challenges.browser",
    "outbox.state",
    "outbox.claims",
}

LIKE_AN_ADDRESS = re.compile(r"e?mail|recipient|address(?!ed)")  # a column's name

HAVE_PLACES = {
    UserSession,
    AuditEvent,
    OutboxEmail,
}  # tables with an IP address and a user agent of the request behind a row


class Undeletable(Exception):
    """Rows of a table that is not registered hang on what is to be deleted."""


def register(model: Holder, mine: Mine, words: str) -> None:
    """Have the rows of `model` for which `mine(user)` holds exported, and deleted with the account.

    `words` say what they are to the person whose they are.
    """
    registered[model] = mine
    in_words.append(words)


def below(key: InstrumentedAttribute[Any]) -> Mine:
    """Return the condition that a row's foreign key leads to a row of a registered table that is the user's."""
    [foreign] = key.property.columns[0].foreign_keys

    def mine(user: User) -> ColumnElement[bool]:
        parent = next(model for model in registered if table_of(model) is foreign.column.table)
        return key.in_(select(foreign.column).where(registered[parent](user)))

    return mine


def unregistered() -> dict[str, str]:
    """Return the tables that hold something about people and are not registered, each with how that is seen.

    Foreign keys lead from them to `users`, over however many tables, or a column is named like an address.
    """
    ways = {"users": "users"}
    tables = list(db.metadata.tables.values())
    for _ in tables:  # as long a way as there can be
        for table in tables:
            parents = [key.column.table.name for key in table.foreign_keys if key.column.table.name in ways]
            if parents:
                ways.setdefault(table.name, f"{table.name} -> {ways[parents[0]]}")
    for table in tables:
        for name in filter(LIKE_AN_ADDRESS.search, table.columns.keys()):
            ways.setdefault(table.name, f"{table.name}.{name}")
    return {name: way for name, way in ways.items() if name not in {table_of(model).name for model in registered}}


def table_of(model: Holder) -> Table:
    return model if isinstance(model, Table) else cast("Table", model.__table__)


def rows(user: User, model: Holder) -> Iterator[dict[str, Any]]:
    """Yield what one table holds about a person, row by row, but for secrets."""
    table = table_of(model)
    columns = [column for column in table.columns if f"{table.name}.{column.name}" not in SECRETS]
    mine = [registered[model](user)]
    if model is OutboxEmail:  # one to a new address goes only if that has no account, and would tell
        mine.append(OutboxEmail.name != Email.CHANGE_EMAIL)
    own = _own_places(user) if model in HAVE_PLACES else set()
    for row in db.session.execute(select(*columns).where(*mine).execution_options(yield_per=1000)):
        yield _without_strangers(dict(row._mapping), own) if model in HAVE_PLACES else dict(row._mapping)


def as_json(user: User, model: Holder) -> Iterator[str]:
    """Yield the same as text, a list in JSON."""
    before = "[\n"
    for row in rows(user, model):
        yield before + json.dumps(row, default=str, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def everything(user: User) -> dict[str, list[dict[str, Any]]]:
    """Return all that is held about a person, by table."""
    return {table_of(model).name: list(rows(user, model)) for model in registered}


def erase(user: User) -> None:
    """Delete all of it: first what refers to other tables, the account last.

    Raises:
        Undeletable: rows of a table that is not registered refer to something of it. It names that table.
    """
    conditions = {table_of(model): mine(user) for model, mine in registered.items()}
    for table in reversed(sort_tables(conditions)):
        try:
            rows_changed(delete(table).where(conditions[table]))
        except IntegrityError as error:
            raise _undeletable(table, error) from error
    db.session.expunge_all()


def _undeletable(table: Table, error: IntegrityError) -> Exception:
    unknown = unregistered()
    below = [
        other.name
        for other in table.metadata.tables.values()
        if other.name in unknown and any(key.column.table is table for key in other.foreign_keys)
    ]
    if not below:
        return error
    return Undeletable(
        f"{table.name} is referred to by {', '.join(below)}: register that with personal_data.register()"
    )


def _own_places(user: User) -> set[tuple[str, str]]:
    """Return the IP addresses and user agents that the user logged in with, since the address was proved to be theirs.

    Anybody can cause an audit event or an email of an account: a wrong password, a reset, a registration.
    """
    mine = select(AuditEvent.ip, AuditEvent.user_agent).where(
        AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.LOGGED_IN
    )
    proved = select(func.max(AuditEvent.id)).where(
        AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.EMAIL_OWNERSHIP_PROVED
    )
    since = func.coalesce(proved.scalar_subquery(), 0)
    return {(row.ip, row.user_agent) for row in db.session.execute(mine.where(AuditEvent.id > since).distinct())}


def _without_strangers(row: dict[str, Any], own: set[tuple[str, str]]) -> dict[str, Any]:
    """Leave out where a row comes from, unless the user logged in from there: it is personal data of somebody else."""
    found = row.get("details", row)
    if not found.get("ip") or (found["ip"], found.get("user_agent")) in own:
        return row
    hidden = {name: "" for name in ("ip", "network", "user_agent") if name in found}
    return row | ({"details": found | hidden} if "details" in row else hidden)


def _nobodys(model: Any, address: Any, user: User) -> ColumnElement[bool]:
    """What went to this address when it had no account; what belongs to whoever had it before is theirs.

    The database looks for the address: `user_id IS NULL` would be looked for first, and may hold for most rows.
    """
    return and_(address.in_([user.email_key, user.email.lower()]), func.coalesce(model.user_id, 0) == 0)


register(User, lambda user: User.id == user.id, "your name and address")
register(UserSession, lambda user: UserSession.user_id == user.id, "where you are logged in")
register(Device, lambda user: Device.user_id == user.id, "which browsers are known")
register(Identity, lambda user: Identity.user_id == user.id, "which accounts elsewhere let you in")
register(OAuthState, lambda user: OAuthState.user_id == user.id, "when you were about to link one")
register(Authenticator, lambda user: Authenticator.user_id == user.id, "when your authenticator app was set up")
register(RecoveryCode, lambda user: RecoveryCode.user_id == user.id, "when your recovery codes were made")
register(RemovedCredential, lambda user: RemovedCredential.user_id == user.id, "which of these you removed lately")
register(Passkey, lambda user: Passkey.user_id == user.id, "your passkeys")
register(PasskeyRequirement, lambda user: PasskeyRequirement.user_id == user.id, "whether a passkey is required")
register(PasskeyChallenge, lambda user: PasskeyChallenge.user_id == user.id, "when passkeys were asked for")
register(AuditEvent, lambda user: AuditEvent.user_id == user.id, "what happened to your account")
register(EmailChange, lambda user: EmailChange.user_id == user.id, "which addresses you had lately")
register(
    EmailChallenge,
    lambda user: or_(EmailChallenge.user_id == user.id, _nobodys(EmailChallenge, EmailChallenge.email_key, user)),
    "when codes were asked for",
)
register(
    OutboxEmail,
    lambda user: or_(OutboxEmail.user_id == user.id, _nobodys(OutboxEmail, OutboxEmail.recipient_key, user)),
    "which emails you got",
)
