"""Sessions: how long they last, and how they end."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, delete, exists, select, update
from sqlalchemy.orm import contains_eager
from sqlalchemy.orm.attributes import set_committed_value

from app import clock
from app.accounts import trusted_devices
from app.email import outbox
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, LogoutReason, User, UserSession
from app.security import audit, rate_limits

IDLE, LONGEST = timedelta(hours=12), timedelta(days=7)
REMEMBERED_IDLE, REMEMBERED_LONGEST = timedelta(days=30), timedelta(days=365)
RECENT = timedelta(minutes=15)
BOTH_FACTORS_WITHIN = timedelta(minutes=5)
MOST = 50  # of one account
MOST_DEVICES = 100
SEEN_EVERY = timedelta(minutes=5)  # how exact last_seen_at is

# One query for the browser and its person, built once.
CURRENT = (
    select(UserSession)
    .join(UserSession.user)
    .options(contains_eager(UserSession.user))
    .where(
        UserSession.id == bindparam("id"),
        UserSession.expires_at > bindparam("now"),
        UserSession.revoked_at.is_(None),
        User.deactivated_at.is_(None),
    )
)


def start(
    user: User, method: str, remember: bool = False, device: str = "", is_by_trust: bool = False
) -> UserSession | None:
    """Sign a browser in. `method` is how the person proved who they are, `device` what its cookie says.

    `is_by_trust`: two-factor authentication was spared, which spares no question before what is sensitive.
    Return None if that proof is out of date: the password was changed since, or the account deactivated.
    Raises rate_limits.Exceeded if the account was logged in to too often from this network.
    """
    rate_limits.hit("session", user.username)
    same = (User.id == user.id, User.password_version == user.password_version, User.deactivated_at.is_(None))
    if not rows_changed(update(User).where(*same).values(login_count=User.login_count + 1)):  # voids magic links
        return None
    user_session = UserSession(user=user, method=method, remembered=remember, **audit.origin())
    user_session.device = Device.key_of(device)
    user_session.created_at = user_session.last_seen_at = clock.now()
    user_session.authenticated_at = None if is_by_trust else clock.now()
    user_session.expires_at = _expiry(user_session)
    _make_room(user)
    db.session.add(user_session)
    audit.record(user, AuditAction.LOGGED_IN, method=method)
    _meet(user, device)
    return user_session


def is_recent(user_session: UserSession | None) -> bool:
    """Say whether the person proved lately who they are; a token without a session proves it never."""
    proved = user_session.authenticated_at if user_session else None
    return proved is not None and clock.is_within(proved, RECENT)


def record_reauthentication(user_session: UserSession) -> None:
    """Note that the person has proved once more who they are.

    With two-factor authentication on, both factors were proved, which allows one change of a credential.
    """
    user_session.authenticated_at = clock.now()
    user_session.both_factors_at = clock.now() if user_session.user.two_factor_enabled_at else None
    audit.record(user_session.user, AuditAction.REAUTHENTICATED)


def may_change_credentials(user_session: UserSession | None) -> bool:
    """Return whether both factors were proved for the change of a credential that comes now."""
    proved = user_session.both_factors_at if user_session else None
    return proved is not None and clock.is_within(proved, BOTH_FACTORS_WITHIN)


def use_proof(user_session: UserSession) -> bool:
    """Use up the proof of both factors; return False if another request was faster. Of two at once, one is allowed."""
    unused = (UserSession.id == user_session.id, UserSession.both_factors_at > clock.now() - BOTH_FACTORS_WITHIN)
    return rows_changed(update(UserSession).where(*unused).values(both_factors_at=None)) == 1


def find(session_id: str) -> UserSession | None:
    """Return the session with this id, its user loaded with it, unless it has ended."""
    return db.session.scalar(CURRENT, {"id": session_id, "now": clock.now()})


def touch(user_session: UserSession) -> bool:
    """Note that a browser was seen, at most every five minutes; say whether it was noted.

    Committed at once, and without expiring what is loaded, which would be loaded a second time.
    """
    if clock.now() - user_session.last_seen_at < SEEN_EVERY:
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


def revoke(user_session: UserSession, reason: LogoutReason | None = None) -> None:
    """Sign one browser out, for a reason that the person is told there, if it was not their doing."""
    alive = update(UserSession).where(UserSession.id == user_session.id, UserSession.revoked_at.is_(None))
    if rows_changed(alive.values(revoked_at=clock.now(), revoked_reason=reason)):
        audit.record(user_session.user, AuditAction.LOGGED_OUT)
    if reason:
        trusted_devices.untrust(Device.user_id == user_session.user_id, Device.key == user_session.device)


def log_out_everywhere(user: User) -> int:
    """Sign a person out everywhere, and return from how many browsers."""
    user.lock()
    audit.record(user, AuditAction.LOGGED_OUT_EVERYWHERE)
    return revoke_all(user, reason=LogoutReason.LOGGED_OUT_EVERYWHERE)


def revoke_everybodys() -> int:
    """Sign everybody out everywhere, and return from how many browsers."""
    alive = update(UserSession).where(*UserSession.alive())
    return rows_changed(alive.values(revoked_at=clock.now(), revoked_reason=LogoutReason.LOGGED_OUT_EVERYWHERE))


def revoke_others_on_request(user: User, keep: UserSession | None) -> int:
    """Log out a person's browsers but this one, as they asked for; return how many there were."""
    user.lock()
    audit.record(user, AuditAction.LOGGED_OUT_OTHERS)
    return revoke_all(user, keep, reason=LogoutReason.REVOKED_ELSEWHERE)


def revoke_all(user: User, keep: UserSession | None = None, *, reason: LogoutReason) -> int:
    """Log out every browser of a person but `keep`, for a reason that they are told; return how many there were.

    None is trusted any more.
    """
    trusted_devices.untrust(Device.user_id == user.id)
    others = update(UserSession).where(UserSession.user_id == user.id, *UserSession.alive())
    if keep:
        others = others.where(UserSession.id != keep.id)
    return rows_changed(others.values(revoked_at=clock.now(), revoked_reason=reason))


def renew(user_session: UserSession) -> None:
    """Give a browser another id, as at login: a copy of its cookie is worth nothing from now on."""
    user_session.id = secrets.token_urlsafe(32)


def revoked_reason(session_id: str) -> LogoutReason | Literal[""] | None:
    """Return why a session ended: empty if the user logged out there; None if there is no such session."""
    user_session = db.session.get(UserSession, session_id)
    if user_session is None:
        return None
    reason = user_session.revoked_reason if user_session.revoked_at else LogoutReason.EXPIRED
    return next((known for known in LogoutReason if known == reason), "")  # a newer release may know more


def all_of(user: User) -> Sequence[UserSession]:
    """Return the browsers that a person is logged in with, those seen last first."""
    mine = select(UserSession).where(UserSession.user_id == user.id, *UserSession.alive())
    return db.session.scalars(mine.order_by(UserSession.last_seen_at.desc())).all()


def one_of(user: User, handle: str) -> UserSession | None:
    """Return the browser of a person's that has this handle."""
    return next((user_session for user_session in all_of(user) if user_session.handle == handle), None)


def forget_devices(user: User, keep: UserSession | None = None) -> None:
    """Recognise no device of the user any more but that of the session `keep`."""
    rows_changed(delete(Device).where(Device.user_id == user.id, Device.key != (keep.device if keep else "")))


def _make_room(user: User) -> None:
    """End the browsers that were not seen for longest, so that with one more there are 50 at most."""
    mine = select(UserSession.id).where(UserSession.user_id == user.id, *UserSession.alive())
    too_many = mine.order_by(UserSession.last_seen_at.desc()).offset(MOST - 1)
    ended = update(UserSession).where(UserSession.id.in_(too_many)).execution_options(synchronize_session=False)
    rows_changed(ended.values(revoked_at=clock.now(), revoked_reason=LogoutReason.TOO_MANY))


def _meet(user: User, device: str) -> None:
    """Note a browser by its cookie; one that was never seen on the account is told to the owner, but for the first."""
    key, mine = Device.key_of(device), Device.user_id == user.id
    same = select(Device.id).where(mine, Device.key == key).limit(1).scalar_subquery()
    known, has_others = db.session.execute(select(same, exists().where(mine))).one()
    if known:
        rows_changed(update(Device).where(Device.id == known).values(last_seen_at=clock.now()))
        return
    _forget_oldest_devices(user)
    db.session.add(Device(user_id=user.id, key=key))
    if has_others and user.confirmed:
        outbox.notify("new_device", user, audit.record(user, AuditAction.NEW_DEVICE))


def _forget_oldest_devices(user: User) -> None:
    """Forget the devices that were not seen for longest, trusted ones last, so that with one more there are 100."""
    mine = select(Device.id).where(Device.user_id == user.id)
    too_many = mine.order_by(Device.trusted_until.is_(None), Device.last_seen_at.desc()).offset(MOST_DEVICES - 1)
    rows_changed(delete(Device).where(Device.id.in_(too_many)).execution_options(synchronize_session=False))


def _expiry(user_session: UserSession) -> datetime:
    idle, longest = (REMEMBERED_IDLE, REMEMBERED_LONGEST) if user_session.remembered else (IDLE, LONGEST)
    return min(user_session.last_seen_at + idle, user_session.created_at + longest)
