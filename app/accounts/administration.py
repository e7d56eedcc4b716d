"""Changes to accounts that only administrators make."""

from app import clock
from app.accounts import sessions
from app.models import AuditAction, LogoutReason, User
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


def set_admin(user: User, is_admin: bool) -> None:
    if user.is_admin != is_admin:
        audit.record(user, AuditAction.ADMIN_CHANGED, old=user.is_admin, new=is_admin)
        user.is_admin = is_admin
