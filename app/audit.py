"""Security history: one line for each thing that happens to an account, in its table and in the log."""

import logging
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from flask import g, has_request_context, request

from app.extensions import db
from app.models import Event, User

log = logging.getLogger("security")


def record(user: User | None, action: str, **detail: Any) -> None:
    """Add a line to the history of `user`, in the caller's transaction. `detail` holds nothing secret.

    Without a user it is about an address that has no account, and costs the same.
    """
    if g.get("is_operator"):
        detail["by"] = "operator"
    event = {"action": action, "user_id": user and user.id, "detail": detail, **origin()}
    db.session.add(Event(**event))
    log.info(action, extra={"fields": {"event": event}})


def origin() -> dict[str, str]:
    """Return where the present request comes from: `ip` and `user_agent`, empty on the command line."""
    if not has_request_context():
        return {"ip": "", "user_agent": ""}
    return {"ip": _address(request.remote_addr or ""), "user_agent": request.user_agent.string[:500]}


def _address(said: str) -> str:
    """What a server or a proxy says is an address, if it is one. Some write a port behind it."""
    for text in (said, said.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            return str(ip_address(text))
    return ""
