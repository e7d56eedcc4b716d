"""Security history: one line for each thing that happens to an account, in its table and in the log."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any

from flask import current_app, g, has_request_context, request
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from app import clock, signals
from app.extensions import db
from app.models import Action, AuditAction, AuditEvent, User
from app.models.audit_event import IS_ANONYMOUS
from app.security import signing

HOUR = 3600  # seconds
PAGE = 50  # lines

log = logging.getLogger("security")


class Attempt(StrEnum):
    """What rate limits count besides audit actions: it is no event of the history."""

    CODE_FAILED = "code_failed"
    PASSKEY_FAILED = "passkey_failed"
    PASSWORD_CHECKED = "password_checked"  # noqa: S105 - a name


Countable = Action | Attempt


def record(user: User | None, action: Action, **detail: Any) -> AuditEvent:
    """Add a line to the history of `user`, in the caller's transaction, and return it. `detail` holds nothing secret.

    Without a user it is about an address that has no account, and costs the same. What strangers can cause is added to
    the line of its network and hour instead, so that the event that is returned is not stored.
    """
    if action is AuditAction.LOGIN_FAILED:
        detail.setdefault("method", "password")
    by_passkey = action is AuditAction.LOGIN_FAILED and detail["method"] == "passkey"
    note_attempt(Attempt.PASSKEY_FAILED if by_passkey else action)
    if g.get("is_administrator"):
        detail["by"] = "administrator"
    where = origin()
    event = {"action": action, "user_id": user and user.id, "detail": detail, **where}
    added = AuditEvent(**event, network=network(where["ip"]))
    if user and user.current_session:
        added.session = user.current_session.key
    if action.facts.by_strangers and where["ip"]:
        _add_to_line(event)
    else:
        db.session.add(added)
    for signal in action.facts.signals if user else ():
        signals.send_after_commit(db.session(), signal, user=user)
    log.info(action, extra={"fields": {"event": event | {"severity": action.facts.severity}}})
    return added


def refused(reason: str, **detail: Any) -> None:
    """Write down that a request was turned away. That is in the log alone: no account did anything."""
    event = {"action": "refused", "reason": reason, "path": request.path[:500], "detail": detail, **origin()}
    log.warning("refused", extra={"fields": {"event": event}})


def note_attempt(attempt: Countable) -> None:
    """Note what this request did, for app/security/rate_limits.py to count."""
    if "attempts" in g:
        g.attempts.add(attempt)


def device() -> str:
    """Return what the cookie says by which a browser is known again; empty if there is none. It proves nothing."""
    said = request.cookies.get(current_app.config["DEVICE_COOKIE_NAME"], "")
    return said if re.fullmatch(r"[\w-]{43}", said, re.ASCII) else ""


def origin() -> dict[str, str]:
    """Return where the present request comes from: `ip` and `user_agent`, empty on the command line."""
    if not has_request_context():
        return {"ip": "", "user_agent": ""}
    user_agent = request.user_agent.string[:500].replace("\0", "")  # which PostgreSQL does not take
    return {"ip": _address(request.remote_addr or ""), "user_agent": user_agent}


def network(ip: str) -> str:
    """Return the network of an address that one owner has: an IPv6 address is one of the 2^64 that they may use."""
    return str(ip_network(f"{ip}/64", strict=False)) if ":" in ip else ip


def networks(ip: str) -> list[str]:
    """Return the networks that one owner may have: an IPv4 address; of IPv6 a /64, and the /48 that a site is given."""
    return [network(ip), str(ip_network(f"{ip}/48", strict=False))] if ":" in ip else [ip]


def failures(ip: str, within: timedelta) -> int:
    """Return how many logins failed from the network of `ip` lately: those of a line count with its latest."""
    lately = (
        AuditEvent.network == network(ip),
        AuditEvent.at > clock.now() - within,
        AuditEvent.action == AuditAction.LOGIN_FAILED,
    )
    return db.session.scalar(select(func.sum(AuditEvent.count)).where(*lately)) or 0


def history(user: User, page: int) -> tuple[Sequence[AuditEvent], bool]:
    """Return a page of what happened to an account, the newest first, and whether there is more."""
    mine = select(AuditEvent).where(AuditEvent.user_id == user.id).order_by(AuditEvent.at.desc(), AuditEvent.id.desc())
    found = db.session.scalars(mine.limit(PAGE + 1).offset((page - 1) * PAGE)).all()
    return found[:PAGE], len(found) > PAGE


def _add_to_line(event: dict[str, Any]) -> None:
    """Insert an event, or count it with those that differ in nothing but the moment: one statement decides."""
    now, place = clock.now(), networks(event["ip"])
    same = (event["user_id"], event["action"], event["detail"], place[-1], int(now.timestamp()) // HOUR)
    insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[db.engine.dialect.name]
    line: Any = insert(AuditEvent).values(**event, at=now, network=place[0], key=signing.fingerprint(*same))
    latest = {name: line.excluded[name] for name in ("at", "ip", "network", "user_agent")}
    update = {"count": AuditEvent.count + 1, **latest}
    db.session.execute(line.on_conflict_do_update(index_elements=["key"], index_where=IS_ANONYMOUS, set_=update))


def _address(said: str) -> str:
    """What a server or a proxy says is an address, if it is one. Some write a port behind it."""
    for text in (said, said.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            found = ip_address(text)
            return str(getattr(found, "ipv4_mapped", None) or found)
    return ""
