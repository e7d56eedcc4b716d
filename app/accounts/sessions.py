"""Sessions: one row per login. Revoking the row logs the device out at its next request."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import contains_eager
from sqlalchemy.orm.attributes import set_committed_value

from app import clock
from app.accounts import devices
from app.connections import is_only_for_the_orm, partly_loaded, reading_connection, tell_loaded
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, LogoutReason, Role, User, UserSession
from app.security import audit, origin, rate_limits

IDLE_TIMEOUT, MAX_AGE = timedelta(hours=12), timedelta(days=7)
REMEMBERED_IDLE_TIMEOUT, REMEMBERED_MAX_AGE = timedelta(days=30), timedelta(days=365)
REAUTHENTICATION_LIFETIME = timedelta(minutes=15)
BOTH_FACTORS_LIFETIME = timedelta(minutes=5)
MAX_SESSIONS = 50  # per account
LAST_SEEN_INTERVAL = timedelta(minutes=5)  # between two writes of last_seen_at

# The columns that nearly every page needs. The others of a row are loaded together as soon as a page asks for one.
# The pages here need no others of a session, because its id may change while a page is made.
OF_SESSION = ("id", "user_id", "created_at", "last_seen_at", "remembered", "authenticated_at", "both_factors_at")
OF_USER = (
    *("id", "email", "username", "password_hash", "confirmed", "language", "time_zone"),
    *("deactivated_at", "deletion_due_at", "email_bounced_at", "two_factor_enabled_at"),
)
OF_ROLE = ("name", "permissions")
IS_CURRENT = (
    UserSession.id == bindparam("id"),
    UserSession.expires_at > bindparam("now"),
    UserSession.revoked_at.is_(None),
    User.deactivated_at.is_(None),
)
CURRENT = (
    select(
        *(getattr(UserSession, name) for name in OF_SESSION),
        *(getattr(User, name) for name in OF_USER),
        *(getattr(Role, name) for name in OF_ROLE),
    )
    .join_from(UserSession, User)
    .join(Role)
    .where(*IS_CURRENT)
)
CURRENT_IN_FULL = (
    select(UserSession)
    .join(UserSession.user)
    .join(User.role)
    .where(*IS_CURRENT)
    .options(contains_eager(UserSession.user).contains_eager(User.role))
    .execution_options(populate_existing=True)
)


def start(
    user: User, method: str, remember: bool = False, device: str = "", skipped_two_factor: bool = False
) -> UserSession | None:
    """Start a session; return None if the password has changed since it was verified, or the user is deactivated.

    Args:
        method: how the user authenticated, such as "password".
        device: the value of the device cookie.
        skipped_two_factor: a trusted device skipped two-factor authentication, so the login is no reauthentication.

    Raises:
        rate_limits.Exceeded: too many logins to this account from this network.
    """
    rate_limits.hit("session", user.username)
    same = (User.id == user.id, User.password_version == user.password_version, User.deactivated_at.is_(None))
    count = (
        update(User).where(*same).values(login_count=User.login_count + 1)
    )  # this invalidates outstanding magic links
    if not rows_changed(count):
        return None
    user_session = UserSession(user=user, method=method, remembered=remember, **origin.of_request())
    user_session.device = Device.key_of(device)
    user_session.created_at = user_session.last_seen_at = clock.now()
    user_session.authenticated_at = None if skipped_two_factor else clock.now()
    user_session.expires_at = _expiry(user_session)
    _revoke_surplus(user)
    is_on_new_device = devices.recognise(user, device)
    db.session.add(user_session)
    audit.record(user, AuditAction.LOGGED_IN, method=method)
    db.session.flush()  # once, after all queries; the session gets its id
    if is_on_new_device and user.can_use_application:
        devices.notify_of_new(user)
    return user_session


def find(session_id: str) -> UserSession | None:
    """Return the active session with this id, its user and the user's role, of which the usual columns are loaded."""
    session = db.session()
    if is_only_for_the_orm(session, User):
        return find_in_full(session_id)
    with reading_connection() as connection:
        found = connection.execute(CURRENT, {"id": session_id, "now": clock.now()}).one_or_none()
    if found is None:
        return None
    user_session = partly_loaded(session, UserSession, OF_SESSION, found[: len(OF_SESSION)])
    user = partly_loaded(session, User, OF_USER, found[len(OF_SESSION) : -len(OF_ROLE)])
    role = partly_loaded(session, Role, OF_ROLE, found[-len(OF_ROLE) :])
    set_committed_value(user, "role", role)
    set_committed_value(user_session, "user", user)
    session.add(user_session)
    tell_loaded(user_session, user, role)
    return user_session


def find_in_full(session_id: str) -> UserSession | None:
    """Return the active session with this id, its user and the user's role, in the transaction of this request."""
    return db.session.scalar(CURRENT_IN_FULL, {"id": session_id, "now": clock.now()})


def find_ended(session_id: str) -> UserSession | None:
    """Return the session with this id, active or not."""
    return db.session.get(UserSession, session_id)


def find_all(user: User) -> Sequence[UserSession]:
    """Return the user's active sessions, the most recently seen first."""
    mine = select(UserSession).where(UserSession.user_id == user.id, *UserSession.active())
    return db.session.scalars(mine.order_by(UserSession.last_seen_at.desc())).all()


def is_active(user_session: UserSession) -> bool:
    """Return whether the session was used so recently that touch() may not have recorded it yet."""
    return clock.is_within(user_session.last_seen_at, LAST_SEEN_INTERVAL)


def find_by_handle(user: User, handle: str) -> UserSession | None:
    return next((user_session for user_session in find_all(user) if user_session.handle == handle), None)


def touch(user_session: UserSession) -> bool:
    """Update last_seen_at if it is older than LAST_SEEN_INTERVAL, and return whether it was.

    The update is committed at once, without expiring loaded objects, which would cost another query for each.
    """
    if clock.now() - user_session.last_seen_at < LAST_SEEN_INTERVAL:
        return False
    set_committed_value(user_session, "last_seen_at", clock.now())
    set_committed_value(user_session, "expires_at", _expiry(user_session))
    seen = {"last_seen_at": user_session.last_seen_at, "expires_at": user_session.expires_at}
    db.session.connection().execute(update(UserSession).where(UserSession.id == user_session.id).values(seen))
    session = db.session()
    session.expire_on_commit = False
    try:
        session.commit()
    finally:
        session.expire_on_commit = True
    return True


def is_recently_authenticated(user_session: UserSession | None) -> bool:
    at = user_session.authenticated_at if user_session else None
    return at is not None and clock.is_within(at, REAUTHENTICATION_LIFETIME)


def record_reauthentication(user_session: UserSession) -> None:
    """Record a reauthentication: if two-factor is on, by both factors, which permit one change of a credential."""
    user_session.authenticated_at = clock.now()
    user_session.both_factors_at = clock.now() if user_session.user.has_two_factor else None
    audit.record(user_session.user, AuditAction.REAUTHENTICATED)


def may_change_credentials(user_session: UserSession | None) -> bool:
    """Return whether the user has reauthenticated with both factors, and not changed a credential since."""
    at = user_session.both_factors_at if user_session else None
    return at is not None and clock.is_within(at, BOTH_FACTORS_LIFETIME)


def consume_both_factors(user_session: UserSession) -> bool:
    """Consume the permission to change a credential; return False if another request was faster."""
    unused = (UserSession.id == user_session.id, UserSession.both_factors_at > clock.now() - BOTH_FACTORS_LIFETIME)
    return rows_changed(update(UserSession).where(*unused).values(both_factors_at=None)) == 1


def renew_id(user_session: UserSession) -> bool:
    """Give the session a new id, so that stolen copies of the old cookie stop working; return False if it has ended.

    It was active when the request began. Since then, the request may have waited, and the user ended all sessions.
    """
    active = select(UserSession.id).where(UserSession.id == user_session.id, *UserSession.active())
    if not db.session.scalar(active.with_for_update()):
        return False
    user_session.id = secrets.token_urlsafe(32)
    return True


def revoke(user_session: UserSession, reason: LogoutReason | None = None) -> None:
    """Revoke a session.

    Args:
        reason: shown on its device, which is no longer trusted. None if the user logs out on that device.
    """
    active = update(UserSession).where(UserSession.id == user_session.id, UserSession.revoked_at.is_(None))
    if rows_changed(active.values(revoked_at=clock.now(), revoked_reason=reason)):
        audit.record(user_session.user, AuditAction.LOGGED_OUT)
    if reason:
        devices.untrust(Device.user_id == user_session.user_id, Device.key == user_session.device)


def revoke_all(user: User, keep: UserSession | None = None, *, reason: LogoutReason) -> int:
    """Revoke all sessions of the user but `keep`, stop trusting all devices, and return the number of sessions."""
    devices.untrust(Device.user_id == user.id)
    others = update(UserSession).where(UserSession.user_id == user.id, *UserSession.active())
    if keep:
        others = others.where(UserSession.id != keep.id)
    return rows_changed(others.values(revoked_at=clock.now(), revoked_reason=reason))


def revoke_others(user: User, keep: UserSession | None) -> int:
    """Revoke all sessions but `keep` on the user's request; return their number."""
    user.lock()
    audit.record(user, AuditAction.LOGGED_OUT_OTHERS)
    return revoke_all(user, keep, reason=LogoutReason.REVOKED_ELSEWHERE)


def log_out_everybody() -> int:
    """Revoke all sessions of all users; return their number."""
    active = update(UserSession).where(*UserSession.active())
    return rows_changed(active.values(revoked_at=clock.now(), revoked_reason=LogoutReason.LOGGED_OUT_EVERYWHERE))


def _expiry(user_session: UserSession) -> datetime:
    idle, age = (REMEMBERED_IDLE_TIMEOUT, REMEMBERED_MAX_AGE) if user_session.remembered else (IDLE_TIMEOUT, MAX_AGE)
    return min(user_session.last_seen_at + idle, user_session.created_at + age)


def _revoke_surplus(user: User) -> None:
    """Revoke the sessions not seen for the longest, to stay within MAX_SESSIONS with a new one."""
    mine = select(UserSession.id).where(UserSession.user_id == user.id, *UserSession.active())
    surplus = mine.order_by(UserSession.last_seen_at.desc()).offset(MAX_SESSIONS - 1)
    revoked = update(UserSession).where(UserSession.id.in_(surplus)).execution_options(synchronize_session=False)
    rows_changed(revoked.values(revoked_at=clock.now(), revoked_reason=LogoutReason.TOO_MANY))
