"""Changes to accounts that only administrators make."""

from app import clock
from app.accounts import sessions
from app.extensions import db
from app.models import AuditAction, LogoutReason, Role, User
from app.security import audit


def deactivate(user: User) -> None:
    """Block the account and revoke its sessions; no data is lost."""
    if user.is_active:
        user.deactivated_at = clock.now()
        sessions.revoke_all(user, reason=LogoutReason.DEACTIVATED)
        audit.record(user, AuditAction.DEACTIVATED, old=False, new=True)


def activate(user: User) -> None:
    if not user.is_active:
        user.deactivated_at = None
        audit.record(user, AuditAction.ACTIVATED, old=True, new=False)


def set_role(user: User, role: Role) -> None:
    if user.role_name != role.name:
        audit.record(user, AuditAction.ROLE_CHANGED, old=user.role_name, new=role.name)
        user.role = role
        db.session.flush()  # sets role_name
