"""Where a request comes from: its IP address and networks, its user agent, and its device cookie."""

import re
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import ip_address, ip_network
from typing import Any

from flask import current_app, has_request_context, request

from settings.log_format import TOKEN

MAX_PATH = 200  # bytes of UTF-8 in a line of the log

# The administrator who acts, from audit.acting_as(). Users don't see the IP address and the browser of administrators.
acting: ContextVar[dict[str, Any] | None] = ContextVar("acting", default=None)


def device_cookie() -> str:
    """Return the value of the device cookie, or "" if there is none. It authenticates nobody."""
    value = request.cookies.get(current_app.config["DEVICE_COOKIE_NAME"], "")
    return value if re.fullmatch(r"[\w-]{43}", value, re.ASCII) else ""


def of_request() -> dict[str, str]:
    """Return the `ip` and the `user_agent` of the current request; both are empty if an administrator acts."""
    if acting.get() or not has_request_context():
        return {"ip": "", "user_agent": ""}
    user_agent = request.user_agent.string[:500].replace("\0", "")  # PostgreSQL refuses NUL
    return {"ip": ip_address_of_request(), "user_agent": user_agent}


def path_for_log() -> str:
    """Return the start of the current path, without a token. JSON makes up to three bytes of one."""
    return TOKEN.sub("<token>", request.path.encode(errors="replace")[:MAX_PATH].decode(errors="ignore"))


def ip_address_of_request() -> str:
    """Return the IP address of the current request, also if an administrator acts; "" on the command line."""
    return _address(request.remote_addr or "") if has_request_context() else ""


def network(ip: str) -> str:
    """Return the smallest network that a customer gets: an IPv4 address, or the /64 of an IPv6 address."""
    return str(ip_network(f"{ip}/64", strict=False)) if ":" in ip else ip


def networks(ip: str) -> list[str]:
    """Return the networks that a customer may get: an IPv4 address; the /64 and the /48 of an IPv6 address."""
    return [network(ip), str(ip_network(f"{ip}/48", strict=False))] if ":" in ip else [ip]


def _address(text: str) -> str:
    """Return an IP address, which app/web/hosts.py has normalized, or "" if the peer is a Unix socket."""
    with suppress(ValueError):
        return str(ip_address(text))
    return ""
