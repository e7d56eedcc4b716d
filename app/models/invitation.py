"""Invitations: an administrator invites an email address to create an account, and may give it a role."""

from datetime import datetime, timedelta
from typing import Optional

from sqlalchemy import ColumnElement, ForeignKey, String, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app import clock
from app.extensions import Model, db, rows_changed
from app.models.audit_event import Actor
from app.models.logins import email_key
from app.models.role import DEFAULT_ROLE, Role
from app.models.user import User
from app.security import signing
from app.security.token_purposes import TokenPurpose

LIFETIME = timedelta(seconds=TokenPurpose.INVITATION.lifetime)


class Invitation(Model):
    __tablename__ = "account_invitations"  # applications may have invitations of their own

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), index=True)
    role_name: Mapped[str] = mapped_column(String(32), default=DEFAULT_ROLE)  # the role may be deleted meanwhile
    actor: Mapped[str] = mapped_column(String(16))  # an Actor
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    expires_at: Mapped[datetime] = mapped_column(default=lambda: clock.now() + LIFETIME, index=True)
    accepted_at: Mapped[datetime | None]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    withdrawn_at: Mapped[datetime | None]

    invited_by: Mapped[User | None] = relationship(foreign_keys=invited_by_id)

    @validates("email")
    def _derive_email_key(self, _: str, email: str) -> str:
        self.email_key = email_key(email)
        return email

    @classmethod
    def waiting(cls) -> list[ColumnElement[bool]]:
        return [cls.accepted_at.is_(None), cls.withdrawn_at.is_(None), cls.expires_at > clock.now()]

    @classmethod
    def in_state(cls, state: str) -> list[ColumnElement[bool]]:
        """Return the conditions of a state, as `state` names it; "" is any state."""
        conditions: dict[str, list[ColumnElement[bool]]] = {
            "": [],
            "waiting": cls.waiting(),
            "accepted": [cls.accepted_at.is_not(None)],
            "withdrawn": [cls.withdrawn_at.is_not(None)],
            "expired": [cls.accepted_at.is_(None), cls.withdrawn_at.is_(None), cls.expires_at <= clock.now()],
        }
        return conditions[state]

    @classmethod
    def of_token(cls, token: str) -> Optional["Invitation"]:
        """Return the invitation that a genuine token belongs to, whatever its state."""
        claims = signing.verify(token, TokenPurpose.INVITATION)
        found = db.session.get(cls, claims.subject) if claims else None
        return found if found and claims and claims.state == found.fingerprint else None

    def token(self) -> str:
        return signing.sign(TokenPurpose.INVITATION, self.id, self.fingerprint)

    def change(self, **changes: object) -> bool:
        """Change a waiting invitation by one conditional UPDATE; return False if another request was faster."""
        return rows_changed(update(Invitation).where(Invitation.id == self.id, *self.waiting()).values(changes)) == 1

    @property
    def state(self) -> str:
        """The state in a word: waiting, accepted, withdrawn or expired."""
        if self.accepted_at or self.withdrawn_at:
            return "accepted" if self.accepted_at else "withdrawn"
        return "waiting" if self.expires_at > clock.now() else "expired"

    @property
    def role(self) -> Role | None:
        return db.session.get(Role, self.role_name)

    @property
    def is_valid(self) -> bool:
        return self.state == "waiting" and self.may_give_role

    @property
    def may_give_role(self) -> bool:
        """Whether its role still exists and may still be given.

        A role with more permissions than every account has ends with the account of the administrator who gave it, or
        when they lose these permissions.
        """
        role, default, inviter = self.role, db.session.get_one(Role, DEFAULT_ROLE), self.invited_by
        if role is None:
            return False
        if default.has(role.permissions) or self.actor == Actor.COMMAND_LINE:
            return True
        return (
            inviter is not None and inviter.is_active and inviter.is_administrator() and inviter.can(role.permissions)
        )

    @property
    def fingerprint(self) -> str:
        """What a token is bound to, besides the id."""
        return signing.fingerprint(self.email_key, self.role_name, self.created_at)
