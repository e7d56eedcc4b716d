"""The security history: every event of an account is stored in a table, and written to the log after the commit."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Any

from flask import has_request_context, request
from flask_babel import gettext as _
from sqlalchemy import JSON, ColumnElement, Integer, Select, exists, false, func, literal, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.event import listens_for
from sqlalchemy.orm import Session

from app import clock, metrics, signals
from app.extensions import db, insert_into
from app.models import Action, Actor, AuditAction, AuditEvent, User
from app.models.audit_event import IS_ANONYMOUS
from app.request_state import state
from app.security import origin, signing

HOUR = 3600  # seconds
PAGE_SIZE = 50  # events
SHARED_ROWS, LOG_LINES = "shared rows", "log lines"  # the names of lists of signals.pending()

log = logging.getLogger("security")


class Attempt(StrEnum):
    """An attempt that rate limits count and that is not stored in the history."""

    CODE_FAILED = "code_failed"
    PASSKEY_FAILED = "passkey_failed"
    PASSWORD_CHECKED = "password_checked"  # noqa: S105 - a name


Countable = Action | Attempt


@contextmanager
def acting_as(actor: Actor, acting_user: User | None = None) -> Iterator[None]:
    """Record all events of this block as done by `actor`; outside of it, users act on their own accounts.

    Args:
        acting_user: the account of the administrator, if `actor` has one.
    """
    by = {"by": actor.value} | ({"acting_user": acting_user.id} if acting_user else {})
    token = origin.acting.set(by)
    try:
        yield
    finally:
        origin.acting.reset(token)


def record(user: User | None, action: Action, *, former_id: object = None, **detail: Any) -> AuditEvent:
    """Add an event to the history of `user`, in the caller's transaction, and return it.

    An action that strangers can cause increments the count of the row for its network and hour instead, just before the
    commit, even if a savepoint was rolled back meanwhile; the returned event is then not stored.

    Args:
        user: None if the event is about an email address without an account; the work is the same.
        former_id: the number of a deleted account, for the log, and for the event if an administrator acts.
        detail: further values, none of them secret; a change passes `old` and `new`.
    """
    if action is AuditAction.LOGIN_FAILED:
        detail.setdefault("method", "password")
    by_passkey = action is AuditAction.LOGIN_FAILED and detail["method"] == "passkey"
    note_attempt(Attempt.PASSKEY_FAILED if by_passkey else action)
    where, by = origin.of_request(), origin.acting.get() or {}
    by = by | ({"former_id": former_id} if former_id and "acting_user" in by else {})
    event = {"action": action, "user_id": user and user.id, "detail": detail | by, **where}
    added = AuditEvent(**event, network=origin.network(where["ip"]))
    if user and user.current_session:
        added.session = user.current_session.key
    if action.facts.by_strangers and where["ip"]:
        signals.pending(db.session(), SHARED_ROWS).append(_as_row(event))
    else:
        db.session.add(added)
    for signal in action.facts.signals if user else ():
        signals.send_after_commit(db.session(), signal, user=user)
    hidden = {"old", "new", "reason"}  # may hold addresses
    labels = {name: value for name, value in added.detail.items() if name not in hidden}
    outcome = "failure" if action.has_failed else "success"
    fields = {"event.action": action.value, "event.outcome": outcome, "labels.severity": action.facts.severity.value}
    fields |= _fields(user.id if user else former_id, labels)
    signals.pending(db.session(), LOG_LINES).append((action, fields))
    return added


def refused(reason: str, user: User | None = None, **detail: Any) -> None:
    """Log that a request was refused, outside of any account's history."""
    fields = {"event.action": "refused", "event.outcome": "failure", "event.reason": reason}
    if has_request_context():
        fields |= {"url.path": origin.path_for_log(), "http.request.method": request.method}
    log.warning("refused", extra=fields | _fields(user.id if user else None, detail))


def note_attempt(attempt: Countable) -> None:
    """Record an attempt of this request for the rate limits to count."""
    if state.attempts is not None:
        state.attempts.add(attempt)


def count_failed_logins(ip: str, within: timedelta) -> int:
    """Return how many logins from the network of `ip` failed recently; a row counts as of its latest attempt."""
    recent = (AuditEvent.network == origin.network(ip), AuditEvent.at > clock.now() - within)
    count = select(func.sum(AuditEvent.count)).where(AuditEvent.action == AuditAction.LOGIN_FAILED, *recent)
    return db.session.scalar(count) or 0


def latest(user: User, *actions: Action) -> datetime | None:
    """Return the time of the user's latest event with one of these actions."""
    mine = (AuditEvent.user_id == user.id, AuditEvent.action.in_(actions))
    return db.session.scalar(select(func.max(AuditEvent.at)).where(*mine))


def history(user: User, page: int, actions: Iterable[Action] | None = None) -> tuple[Sequence[AuditEvent], bool]:
    """Return a page of the user's events, the newest first, and whether there is another page.

    Args:
        actions: None for all events.
    """
    mine = select(AuditEvent).where(AuditEvent.user_id == user.id).order_by(AuditEvent.at.desc(), AuditEvent.id.desc())
    if actions is not None:
        mine = mine.where(AuditEvent.action.in_(actions))
    found = db.session.scalars(mine.limit(PAGE_SIZE + 1).offset((page - 1) * PAGE_SIZE)).all()
    return found[:PAGE_SIZE], len(found) > PAGE_SIZE


def search(
    action: str = "",
    user_id: int | None = None,
    place: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Select[Any]:
    """Return the query of the events of all users that meet these conditions.

    Args:
        place: an IP address or a network; an IPv6 address finds the events of its /64.

    Raises:
        ValueError: the place is neither, or too large.
    """
    found = select(AuditEvent).where(_is_from(place.strip()) if place else true())
    values = ((AuditEvent.action, action or None), (AuditEvent.user_id, user_id))
    found = found.where(*(column == value for column, value in values if value is not None))
    return found.where(AuditEvent.at >= since if since else true(), AuditEvent.at <= until if until else true())


def _is_from(place: str) -> ColumnElement[bool]:
    """Return the condition for a place: the list of its addresses that have events, which the index finds."""
    with suppress(ValueError):
        network = ip_network(place, strict=False)
        longest = 32 if network.version == 4 else 64
        if network.prefixlen >= longest - 8:
            parts = network.subnets(new_prefix=longest) if network.prefixlen < longest else [network]
            found = _with_events([origin.network(str(part.network_address)) for part in parts])
            return AuditEvent.network.in_(found) if found else false()
    raise ValueError(_("Enter an IP address, or a network no larger than /24 (IPv6: /56)."))


def _with_events(networks: list[str]) -> Sequence[str]:
    """Return those of the networks that have events, by one query of one parameter."""
    values = func.json_each if db.engine.dialect.name == "sqlite" else func.jsonb_array_elements_text
    listed = values(literal(networks, JSON().with_variant(JSONB(), "postgresql"))).table_valued("value")
    has_events = exists().where(AuditEvent.network == listed.c.value)
    return db.session.scalars(select(listed.c.value).where(has_events)).all()


def _fields(user_id: object, labels: dict[str, Any]) -> dict[str, Any]:
    """Return who and where, as the log names it."""
    where = origin.of_request()
    fields = {"client.ip": where["ip"] or None, "user_agent.original": where["user_agent"] or None}
    fields |= {f"labels.{name}": value for name, value in labels.items()}
    return fields | ({"user.id": str(user_id)} if user_id else {})


def _as_row(event: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the row that an event shares with those that differ only in their time."""
    now, place = clock.now(), origin.networks(event["ip"])
    same = (event["user_id"], event["action"], event["detail"], place[-1], int(now.timestamp()) // HOUR)
    return {**event, "at": now, "network": place[0], "key": signing.fingerprint(*same)}


@listens_for(Session, "before_commit")
def _write_shared_rows(session: Session) -> None:
    """Insert the rows that events share, or increment their counts, at the end of a transaction.

    On PostgreSQL, they wait for all such events of their network, not only for those of their row: events about unknown
    names share one, and a wait for that row alone would tell that there is no account.
    """
    if session.in_nested_transaction():  # the release of a savepoint also triggers this event
        return
    session.flush()  # what is recorded in it counts, too
    rows = signals.pending(session, SHARED_ROWS)
    while rows:
        values = rows.pop(0)
        values["user_id"] = _unless_deleted(values["user_id"])
        row = insert_into(AuditEvent).values(**values, count=_after_others(origin.networks(values["ip"])[-1]))
        latest = {name: row.excluded[name] for name in ("at", "ip", "network", "user_agent")}
        update = {"count": AuditEvent.count + 1, **latest}
        session.execute(row.on_conflict_do_update(index_elements=["key"], index_where=IS_ANONYMOUS, set_=update))


@listens_for(Session, "after_commit")
def _write_log_lines(session: Session) -> None:
    """Log the events of a transaction, and count the logins."""
    if session.in_nested_transaction():
        return
    lines = signals.pending(session, LOG_LINES)
    while lines:
        action, fields = lines.pop(0)
        if action in {AuditAction.LOGGED_IN, AuditAction.LOGIN_FAILED}:
            metrics.logins.labels(fields["labels.method"], fields["event.outcome"]).inc()
        log.info(action, extra=fields)


def _unless_deleted(user_id: int | None) -> Any:
    """Return the id of an account, which the database replaces by NULL if the account was deleted in the meantime."""
    mine = select(User.id).where(User.id == literal(user_id, Integer))
    return mine.with_for_update(read=True, key_share=True).scalar_subquery()


def _after_others(network: str) -> Any:
    """Return 1, for which the database waits until other transactions with this network have ended."""
    if db.engine.dialect.name == "sqlite":  # it has one writer at a time
        return 1
    turn = func.pg_advisory_xact_lock(func.hashtextextended(network, 0))
    return select(literal(1)).select_from(turn).scalar_subquery()
