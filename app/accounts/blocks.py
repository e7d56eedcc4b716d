"""Blocks: email addresses and domains that no account may take, and networks that may not log in or register.

Existing accounts and their sessions stay. To keep the user of an account out, deactivate it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import delete, func, or_, select
from werkzeug.exceptions import Forbidden

from app import clock, formats
from app.extensions import db, insert_into, rows_changed
from app.models import AuditAction, Block, User, UserSession
from app.models.block import MAX_IPV6_PREFIX, keys_covering
from app.models.logins import email_key, mailbox, normal_email
from app.request_state import state
from app.security import audit, origin

DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])")
GMAIL = re.compile(r"(^|\.)gmail\.com$")  # mailbox() returns it for googlemail.com, too
MAX_ADDRESSES = 2**16, 2**96  # of an IPv4 and an IPv6 network that are blocked without a question
MAX_DAYS = 3650


class NetworkBlocked(Forbidden):
    """The network of this request is blocked. `words` are the title and the advice of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.words = _("Your network is blocked"), _advice()


def _advice() -> str:
    if email := current_app.config["SUPPORT_EMAIL"]:
        return _("You can't log in or register from here. To ask why, contact %(email)s.", email=email)
    return _("You can't log in or register from here. To ask why, contact the administrators of this site.")


def parse(subject: str) -> tuple[str, str]:
    """Return an email address, a domain or a network in its normal form, and its key; raise ValueError if invalid."""
    if "@" in subject.strip().lstrip("*@"):
        return (email := normal_email(subject.strip())), mailbox(email)
    if network := _network(subject.strip()):
        return str(network).removesuffix("/32"), str(network)
    domain = subject.strip().removeprefix("*").lstrip("@.").lower()
    with suppress(ValueError):
        key = mailbox(f"x@{domain}").removeprefix("x@")
        if DOMAIN.fullmatch(key):
            return domain, key
    raise ValueError(_("Enter an email address, a domain or a network, such as 192.0.2.0/24."))


def objection(subject: str) -> str | None:
    """Return why an administrator should think twice about this block, or None. Raises ValueError as add() does."""
    key = _blockable(subject)[1]
    network = _network(key)
    if not network:
        return None if "@" in key or "." in key else _("This blocks all addresses that end in .%(domain)s.", domain=key)
    if network.num_addresses > MAX_ADDRESSES[network.version == 6]:
        return _("This blocks %(number)s addresses.", number=formats.number(network.num_addresses))
    logged_in = select(UserSession.ip).join(User).where(*UserSession.active(), User.is_admin).distinct()
    inside = [ip for ip in db.session.scalars(logged_in) if ip and ip_address(ip) in network]
    if not inside:
        return None
    return _("An administrator is logged in from this network (%(ip)s).", ip=inside[0])


def add(subject: str, reason: str, ends_at: datetime | None = None, by: User | None = None) -> str:
    """Block a subject, or change its block, and return the subject in its normal form.

    Raises:
        ValueError: it is invalid, or the network of the administrator. The message is for administrators.
    """
    subject, key = _blockable(subject)
    values = {"subject": subject, "reason": reason[:500], "ends_at": ends_at, "created_by_id": by and by.id}
    row = insert_into(Block).values(key=key, created_at=clock.now(), **values)
    db.session.execute(row.on_conflict_do_update(index_elements=["key"], set_=values | {"created_at": clock.now()}))
    state.blocked.clear()
    audit.record(None, AuditAction.BLOCKED, new=subject, reason=reason[:500])
    return subject


def count_accounts(subject: str) -> int:
    """Return how many accounts have a blocked address, by reading all addresses. Raises ValueError as parse() does."""
    key = parse(subject)[1]
    if _network(key):
        return 0
    local, _, domain = key.rpartition("@")
    if not local:
        spellings = {domain, GMAIL.sub(r"\1googlemail.com", domain)}
        ends = [f"{before}{spelling}" for before in "@." for spelling in spellings]
        is_in = or_(*map(User.email_key.endswith, ends))  # a domain has no % and no _
        return db.session.scalar(select(func.count()).where(is_in)) or 0
    begin = local.replace(".", "")
    is_near = func.substr(func.replace(User.email_key, ".", ""), 1, len(begin)) == begin
    return sum(mailbox(email) == key for email in db.session.scalars(select(User.email_key).where(is_near)))


def remove(subject: str) -> bool:
    """Unblock a subject; return False if it is not blocked. Raises ValueError if it is invalid."""
    subject, key = parse(subject)
    if not rows_changed(delete(Block).where(Block.key == key)):
        return False
    state.blocked.clear()
    audit.record(None, AuditAction.UNBLOCKED, old=subject)
    return True


def end_after(days: int | None) -> datetime | None:
    return None if days is None else clock.now() + timedelta(days=days)


def find(*subjects: str) -> Sequence[Block]:
    """Return the active blocks that cover one of these email addresses and IP addresses, by one indexed query."""
    keys = {key for subject in subjects for key in keys_covering(subject)}
    return db.session.scalars(select(Block).where(Block.key.in_(keys), Block.active())).all()


def check(email: str) -> None:
    """Raise ValueError, with a message for the user, if no account may take this email address."""
    if is_blocked(email):
        raise ValueError(_("This email address can't be used here. Use another."))


def is_blocked(email: str) -> bool:
    """Return whether no account may take this email address, and log that."""
    if is_refused := _are_blocked(email):
        audit.refused("blocked email address", domain=email.rpartition("@")[2])
    return is_refused


def refuse_network(email: str = "") -> None:
    """Raise NetworkBlocked if the network of this request is blocked.

    Args:
        email: an address that is checked later in this request, so that both checks share one query.
    """
    ip = origin.ip_address_of_request()
    if ip and _are_blocked(ip, email):
        audit.refused("blocked network")
        raise NetworkBlocked


def _blockable(subject: str) -> tuple[str, str]:
    """Return what parse() returns, unless it is the network of the administrator."""
    subject, key = parse(subject)
    own, network = origin.ip_address_of_request(), _network(key)
    if own and network and ip_address(own) in network:
        words = _("This is your own network: your address is %(ip)s. You would lock yourself out.", ip=own)
        raise ValueError(words)
    return subject, key


def _are_blocked(subject: str, *others: str) -> bool:
    """Return whether a subject is blocked, and keep the answer, also about others, for the rest of the request."""
    keys = {}
    for one in filter(None, (subject, *others)):
        with suppress(ValueError):
            keys[_spelling(one)] = keys_covering(one)
    if keys.keys() - state.blocked.keys():
        sought = {key for known in keys.values() for key in known}
        found = {*db.session.scalars(select(Block.key).where(Block.key.in_(sought), Block.active()))}
        state.blocked.update({one: bool(found & {*known}) for one, known in keys.items()})
    return state.blocked.get(_spelling(subject), False)


def _spelling(subject: str) -> str:
    with suppress(ValueError):
        return email_key(subject)
    return subject


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network that a text names: IPv4 if it is mapped, and an IPv6 network of at least a customer's size."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv4Network):
        return network
    mapped = network.network_address.ipv4_mapped
    if mapped and network.prefixlen >= 96:
        return ip_network((mapped, network.prefixlen - 96))
    return network if network.prefixlen <= MAX_IPV6_PREFIX else network.supernet(new_prefix=MAX_IPV6_PREFIX)
