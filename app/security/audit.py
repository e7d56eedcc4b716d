"""Security history: one line for each thing that happens to an account, in its table and in the log."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from flask import current_app, g, has_request_context, request
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from app import clock, signals
from app.extensions import db
from app.models import AuditEvent, User
from app.models.audit_event import IS_ANONYMOUS
from app.security import tokens

LOGIN_FAILED = "login_failed"
# Not in the history, but counted by app/security/rate_limits.py.
PASSKEY_FAILED, CODE_FAILED = "passkey_failed", "code_failed"
PASSWORD_CHECKED = "password_checked"  # noqa: S105 - a name
# What strangers can cause again and again, to any account or to none. Registering again is written as registering is
# (alike With PREVENT_ENUMERATION), and bounded by the limit of registrations.
STRANGERS = {LOGIN_FAILED, "reset_requested", "magic_link_requested", "recovery_code_failed"}
HOUR = 3600  # seconds
PAGE = 50  # lines

# What the history says of each action.
WORDS = {
    "registered": "You registered",
    "registered_again": "Somebody tried to register with your address",
    "confirmation_resent": "Another confirmation email was sent",
    "confirmed": "Your address was confirmed",
    "email_corrected": "You corrected your address",
    "email_ownership_proved": "You proved that the mailbox is yours; what was set up before is gone",
    "logged_in": "You logged in",
    "login_failed": "Somebody tried to log in with a wrong password or passkey",
    "new_device": "It was a browser never seen on your account",
    "device_code_sent": "Your password was entered on a new device, and a code was emailed to you",
    "device_code_failed": "A wrong code was entered on a new device",
    "device_verified": "A new device was verified by the emailed code",
    "next_login_trusted": "Your next login was allowed without an emailed code",
    "next_login_trust_used": "A new device logged in without an emailed code, as allowed",
    "reauthenticated": "You proved once more that it is you",
    "logged_out": "You logged out",
    "logged_out_others": "You logged out your other browsers",
    "logged_out_everywhere": "You were logged out everywhere",
    "magic_link_requested": "A link to log in was asked for",
    "reset_requested": "A link to choose a new password was asked for",
    "password_reset": "A new password was chosen by a mailed link",
    "password_changed": "Your password was changed",
    "two_factor_on": "two-factor authentication was added",
    "two_factor_off": "two-factor authentication was removed",
    "two_factor_reset": "Two-factor authentication was turned off",
    "two_factor_used": "You did two-factor authentication",
    "two_factor_failed": "Somebody typed a wrong code at two-factor authentication",
    "recovery_code_failed": "Somebody typed a wrong recovery code, or one that was used, at two-factor authentication",
    "recovery_codes_made": "New recovery codes were made",
    "device_trusted": "You trusted a browser for 30 days",
    "device_untrusted": "You trust a browser no more",
    "password_removed": "Your password was removed",
    "passkey_renamed": "A passkey got another name",
    "passkey_copied": "A passkey was refused, because it may have been copied",
    "username_changed": "Your username was changed",
    "email_change_requested": "A change of your address was asked for",
    "email_changed": "Your address was changed",
    "identity_linked": "An account elsewhere was linked to yours",
    "identity_unlinked": "The link to an account elsewhere was removed",
    "account_secured": "Your account was taken back from an email about it",
    "code_sent": "A code was sent to your address",
    "recovery_codes_few": "Few recovery codes were left",
    "exported": "Your data were downloaded",
    "deletion_requested": "You asked to have the account deleted",
    "deletion_cancelled": "You decided to keep the account",
    "deactivated": "Your account was deactivated",
    "activated": "Your account was activated again",
}

SIGNALS = {  # that tell an application built on this what happened
    "registered": [signals.user_registered],
    "confirmed": [signals.user_confirmed],
    "email_ownership_proved": [signals.user_confirmed, signals.password_changed],  # the password of before is gone
    "password_changed": [signals.password_changed],
    "password_reset": [signals.password_changed],
    "password_removed": [signals.password_changed],
    "account_secured": [signals.password_changed],
}

log = logging.getLogger("security")


def record(user: User | None, action: str, **detail: Any) -> AuditEvent:
    """Add a line to the history of `user`, in the caller's transaction, and return it. `detail` holds nothing secret.

    Without a user it is about an address that has no account, and costs the same. What strangers can cause is added to
    the line of its network and hour instead, so that the event that is returned is not stored.
    """
    if action == LOGIN_FAILED:
        detail.setdefault("method", "password")
    note(PASSKEY_FAILED if detail.get("method") == "passkey" and action == LOGIN_FAILED else action)
    if g.get("is_administrator"):
        detail["by"] = "administrator"
    where = origin()
    event = {"action": action, "user_id": user and user.id, "detail": detail, **where}
    added = AuditEvent(**event, network=network(where["ip"]))
    if user and user.current_session:
        added.session = user.current_session.key
    if action in STRANGERS and where["ip"]:
        _add_to_line(event)
    else:
        db.session.add(added)
    for signal in SIGNALS.get(action, []) if user else []:
        signals.send_after_commit(db.session(), signal, user=user)
    log.info(action, extra={"fields": {"event": event}})
    return added


def refused(reason: str, **detail: Any) -> None:
    """Write down that a request was turned away. That is in the log alone: no account did anything."""
    event = {"action": "refused", "reason": reason, "path": request.path[:500], "detail": detail, **origin()}
    log.warning("refused", extra={"fields": {"event": event}})


def note(action: str) -> None:
    """Note that this request did something: app/security/rate_limits.py counts it."""
    if "notes" in g:
        g.notes.add(action)


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
        AuditEvent.action == LOGIN_FAILED,
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
    line: Any = insert(AuditEvent).values(**event, at=now, network=place[0], key=tokens.fingerprint(*same))
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
