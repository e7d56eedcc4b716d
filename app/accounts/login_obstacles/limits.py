"""Obstacles that attempts have built up: rate limits, the login delay, the CAPTCHA."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from app import clock
from app.accounts import blocks
from app.accounts.login_obstacles.obstacle import Obstacle, Obstacles
from app.extensions import db
from app.models import AuditEvent, User, UserSession
from app.models.logins import mailbox
from app.security import audit, captcha, origin, rate_limits
from app.security.rate_limits import report
from app.security.rate_limits.counters import storage_errors
from app.security.rate_limits.policies import hashed
from app.switches import is_on

RECENT, MAX_ADDRESSES = timedelta(days=1), 20  # IP addresses in the history


def reached(user: User) -> Obstacles:
    """Yield the limits that the account, and the networks of its last events, have reached."""
    networks, shared = {net for ip in _addresses(user) for net in origin.networks(ip)}, mailbox(user.email)
    try:
        found = list(report.entries_beginning({*map(hashed, (user.username, user.email, shared))}, networks))
    except storage_errors():
        yield Obstacle("The counters can't be reached, so it is unknown whether a rate limit applies.", "flask doctor")
        return
    for entry in (entry for entry in found if entry.is_full):
        until = f"until {datetime.fromtimestamp(entry.expires_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        name = entry.subject if entry.subject in networks else shared if entry.policy == "mailbox" else user.known_as
        cause = f"{name} has reached the rate limit {entry.policy} ({entry.count} of {entry.limit}) {until}."
        if entry.policy == report.LOGIN_DELAY:
            cause = f"{entry.count} incorrect passwords pause logins by password on new devices {until}."
        yield Obstacle(cause, f"flask limits clear {name}")


def captcha_needed(user: User) -> Obstacles:
    if not (is_on("captcha") and is_on("password")):
        return
    if rate_limits.is_site_wide_rate_reached():
        cause = "So many logins fail on the whole site that new devices have to solve the CAPTCHA."
        yield Obstacle(cause, "flask doctor")
    for ip in _addresses(user):
        if audit.count_failed_logins(ip, captcha.FAILED_WITHIN) >= captcha.FAILURES:
            yield Obstacle(f"After failed logins, browsers on the network of {ip} have to solve the CAPTCHA.")


def network_blocked(user: User) -> Obstacles:
    ips = select(UserSession.ip).where(UserSession.user_id == user.id, UserSession.ip != "").distinct()
    for block in blocks.find(*db.session.scalars(ips)):
        cause = f"{user.known_as} logged in from a network that is now blocked ({block.subject}: {block.reason})."
        yield Obstacle(cause, f"flask users unblock {block.subject}")


def _addresses(user: User) -> Sequence[str]:
    mine = (AuditEvent.user_id == user.id, AuditEvent.ip != "", AuditEvent.at > clock.now() - RECENT)
    return db.session.scalars(select(AuditEvent.ip).where(*mine).distinct().limit(MAX_ADDRESSES)).all()
