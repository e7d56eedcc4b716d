"""Blocks: email addresses, domains and networks that may not register."""

from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import ColumnElement, String, or_
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model
from app.models.logins import mailbox

MAX_IPV6_PREFIX = 64  # the smallest network that a customer gets


class Block(Model):
    __tablename__ = "blocks"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(254))  # an email address, a domain or a network, as people read it
    key: Mapped[str] = mapped_column(String(254), unique=True)  # as keys_covering() names it
    reason: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    created_by_id: Mapped[int | None]  # the administrator; no foreign key, since the block outlives their account
    ends_at: Mapped[datetime | None] = mapped_column(index=True)

    @classmethod
    def active(cls) -> ColumnElement[bool]:
        return or_(cls.ends_at.is_(None), cls.ends_at > clock.now())

    @property
    def is_active(self) -> bool:
        return self.ends_at is None or self.ends_at > clock.now()


def keys_covering(subject: str) -> list[str]:
    """Return the keys of all possible blocks of an email address or an IP address; raise ValueError if it is neither.

    Such a list is compared with a unique index. So one query finds a network in either notation, on both databases.
    """
    if "@" in subject:
        labels = mailbox(subject).rpartition("@")[2].split(".")
        return [mailbox(subject), *(".".join(labels[start:]) for start in range(len(labels)))]
    address = ip_address(subject)
    longest = MAX_IPV6_PREFIX if isinstance(address, IPv6Address) else 32
    return [str(ip_network((address.packed, length), strict=False)) for length in range(longest + 1)]
