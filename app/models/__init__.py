"""The database models, and the enums of the values in their columns."""

from app.models.audit_action import Action, AuditAction, Severity
from app.models.audit_event import Actor, AuditEvent
from app.models.authenticator import Authenticator
from app.models.block import Block
from app.models.credential import Credential, RemovedCredential
from app.models.daily_count import DailyCount
from app.models.device import Device
from app.models.email_challenge import EmailChallenge
from app.models.email_change import EmailChange
from app.models.identity import Identity
from app.models.invitation import Invitation
from app.models.job import Job
from app.models.login_delay import LoginDelay
from app.models.logout_reason import LogoutReason
from app.models.oauth_state import OAuthState
from app.models.outbox_email import OutboxEmail
from app.models.passkey import Passkey
from app.models.passkey_challenge import PasskeyChallenge
from app.models.passkey_requirement import PasskeyRequirement
from app.models.rate_limit_counter import RateLimitCounter
from app.models.recovery_code import RecoveryCode
from app.models.role import Permission, PermissionFlag, Role
from app.models.user import User
from app.models.user_session import UserSession

__all__ = [
    "Action",
    "Actor",
    "AuditAction",
    "AuditEvent",
    "Authenticator",
    "Block",
    "Credential",
    "DailyCount",
    "Device",
    "EmailChallenge",
    "EmailChange",
    "Identity",
    "Invitation",
    "Job",
    "LoginDelay",
    "LogoutReason",
    "OAuthState",
    "OutboxEmail",
    "Passkey",
    "PasskeyChallenge",
    "PasskeyRequirement",
    "Permission",
    "PermissionFlag",
    "RateLimitCounter",
    "RecoveryCode",
    "RemovedCredential",
    "Role",
    "Severity",
    "User",
    "UserSession",
]
