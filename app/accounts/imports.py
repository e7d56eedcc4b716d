"""Import accounts of other applications, a batch at a time. Nobody gets an email, and no signal is sent."""

from contextlib import suppress
from typing import Any

from sqlalchemy import Column, false, insert, inspect, or_, select, update
from sqlalchemy.exc import DataError, IntegrityError

from app.accounts import registration
from app.accounts.registration import NewAccount
from app.database import violated_constraint
from app.extensions import db, rows_changed
from app.models import Actor, AuditAction, AuditEvent, EmailChange, User

Batch = dict[int, NewAccount]  # by line
OURS = {"id", "email", "username", "password_hash", "confirmed", "role_name", "created_at", "deactivated_at"}
REFUSALS = (IntegrityError, DataError, ValueError, OverflowError)  # a duplicate; a value too large, or with a NUL
BY = Actor.COMMAND_LINE.value


def columns() -> dict[str, Column[Any]]:
    """Return the columns of User that a file can set, by attribute: some of ours, and all that an application adds."""
    names = {*OURS, *registration.profile_columns()}
    return {name: column for name, column in inspect(User).columns.items() if name in names}


def add(batch: Batch) -> dict[int, str]:
    """Create these accounts, and return the reason for each line that is refused."""
    users, refused = {}, {}
    for line, new in batch.items():
        try:
            users[line] = registration.unsaved(new)
        except ValueError as error:
            refused[line] = str(error)
    refused |= _taken(users)
    free = {line: user for line, user in users.items() if line not in refused}
    rows_changed(update(User).where(false()).values(login_count=0))  # begins SQLite's transaction before a savepoint
    with suppress(*REFUSALS):
        _insert(*free.values())
        free = {}
    for line, user in free.items():
        try:
            _insert(user)
        except REFUSALS as error:
            reason = violated_constraint(error) if isinstance(error, IntegrityError) else getattr(error, "orig", error)
            refused[line] = f"The database refused the account: {reason}"
    return refused


def _insert(*users: User) -> None:
    with db.session.begin_nested():
        db.session.add_all(users)
        db.session.flush()
        events = [{"user_id": user.id, "action": AuditAction.IMPORTED, "detail": {"by": BY}} for user in users]
        if events:
            db.session.execute(insert(AuditEvent), events)


def _taken(users: dict[int, User]) -> dict[int, str]:
    """Return the lines whose email address or username has an account, is reserved, or is on an earlier line, too."""
    emails, names = ([getattr(user, key) for user in users.values()] for key in ("email_key", "username_key"))
    same = or_(User.email_key.in_(emails), User.username_key.in_(names))
    reserved = select(EmailChange.old_email_key).where(EmailChange.old_email_key.in_(emails), *EmailChange.reserving())
    owners, taken = dict.fromkeys(db.session.scalars(reserved), "another account, which had it recently"), {}
    for user in db.session.scalars(select(User).where(same)):
        owners |= dict.fromkeys([user.email_key, user.username_key], f"the account {user.name_and_email}")
    for line, user in users.items():
        keys = [user.email_key, user.username_key]
        if clashes := [f"{key} belongs to {owners[key]}" for key in keys if key in owners]:
            taken[line] = "; ".join(clashes)
        else:
            owners |= dict.fromkeys(keys, f"line {line}")
    return taken
