"""Changes to accounts that only administrators make. The user gets an email about each."""

from collections.abc import Sequence

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import clock
from app.accounts import blocks, email_change, registration, sessions, usernames
from app.database import is_duplicate
from app.email import outbox
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, LogoutReason, Role, User
from app.models.role import ADMINISTRATOR
from app.security import audit
from app.switches import is_on


def deactivate(user: User) -> None:
    """Block the account and revoke its sessions; no data is lost."""
    if user.is_active:
        user.deactivated_at = clock.now()
        sessions.revoke_all(user, reason=LogoutReason.DEACTIVATED)
        audit.record(user, AuditAction.DEACTIVATED, old=False, new=True)
        _tell(user, AuditAction.DEACTIVATED)


def activate(user: User) -> None:
    if not user.is_active:
        user.deactivated_at = None
        audit.record(user, AuditAction.ACTIVATED, old=True, new=False)
        _tell(user, AuditAction.ACTIVATED)


def roles_to_give(by: User) -> Sequence[Role]:
    """Return the roles that an administrator may give, since they have all their permissions."""
    known = db.session.scalars(select(Role).order_by(Role.name == ADMINISTRATOR, Role.permissions))
    return [role for role in known if by.can(role.permissions)]


def check_may_give(by: User, role: Role) -> None:
    """Raise ValueError, with a message, if the role has permissions that this administrator doesn't have."""
    if not by.can(role.permissions):
        raise ValueError(_("The role %(role)s has permissions that you don't have.", role=role.name))


def set_role(user: User, role: Role, send_notice: bool = True) -> None:
    if user.role_name != role.name:
        audit.record(user, AuditAction.ROLE_CHANGED, old=user.role_name, new=role.name)
        user.role = role
        db.session.flush()  # sets role_name
        if send_notice:
            _tell(user, AuditAction.ROLE_CHANGED, new=role.name)


def log_out_everywhere(user: User) -> int:
    """Revoke all sessions of the user; return their number."""
    user.lock()
    audit.record(user, AuditAction.LOGGED_OUT_EVERYWHERE)
    if count := sessions.revoke_all(user, reason=LogoutReason.LOGGED_OUT_EVERYWHERE):
        _tell(user, AuditAction.LOGGED_OUT_EVERYWHERE)
    return count


def rename(user: User, username: str) -> None:
    """Change the username, even to a reserved one; raise ValueError, with a message, if it is invalid or taken."""
    username = username.strip()
    usernames.check(username, by_administrator=True)
    if username == user.username:
        return
    user.lock()
    try:
        with db.session.begin_nested():
            usernames.change(user, username)
    except IntegrityError as error:
        if not is_duplicate(error, "users.username_key"):
            raise
        raise ValueError(_("Another account has this username. Choose another.")) from error
    _tell(user, AuditAction.USERNAME_CHANGED, new=username)


def set_email(user: User, email: str) -> None:
    """Change the email address; raise ValueError, with a message, if it is invalid, blocked or taken.

    A confirmed address stays confirmed, since an administrator chose the new one. An unconfirmed one gets a link.
    """
    email = registration.normal_email(email.strip())
    if email == user.email:
        return
    blocks.check(email)
    is_unconfirmed = is_on("confirmation") and not user.confirmed
    if not (registration.correct if is_unconfirmed else email_change.replace)(user, email):
        raise ValueError(_("Another account has this email address, or had it within the last week. Enter another."))
    if not is_unconfirmed:
        _tell(user, AuditAction.EMAIL_CHANGED)


def _tell(user: User, action: AuditAction, new: str = "") -> None:
    if user.can_use_application:  # otherwise the address may belong to another person
        outbox.enqueue(Email.ACCOUNT_CHANGED, user, action=action, new=new)
