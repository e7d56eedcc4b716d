"""Invitations: administrators invite email addresses, which can then get an account even if registration is closed.

The link in the email proves the address, so the account is confirmed. It is of no use to a user with another address.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select, update

from app import clock
from app.accounts import administration, blocks, registration
from app.accounts.registration import NewAccount
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.languages import isolated
from app.models import Actor, AuditAction, Invitation, Role, User
from app.models.invitation import LIFETIME
from app.models.logins import email_key
from app.models.role import DEFAULT_ROLE
from app.security import audit


def send(email: str, role_name: str = DEFAULT_ROLE, by: User | None = None) -> Invitation:
    """Invite an email address, or invite it again, which invalidates the earlier link.

    Args:
        by: the administrator; None for the command line.

    Raises:
        ValueError: the message is for administrators.
    """
    email, role = registration.normal_email(email.strip()), db.session.get(Role, role_name)
    if role is None:
        raise ValueError(_("There is no role %(role)s.", role=role_name))
    if by:
        administration.check_may_give(by, role)
    if blocks.is_blocked(email):
        raise ValueError(_("%(email)s is blocked.", email=isolated(email)))
    if registration.is_taken(email):
        raise ValueError(_("%(email)s already belongs to an account.", email=isolated(email)))
    invitation = _renew(email, role, by)
    event = audit.record(by, AuditAction.INVITED, new=email, role=role.name)
    if by and not db.session.get_one(Role, DEFAULT_ROLE).has(role.permissions):
        outbox.enqueue(Email.INVITATION_SENT, by, event=event, new_email=email, role=role.name)
    details: dict[str, Any] = {"inviter": inviter(invitation), "role": "" if role.name == DEFAULT_ROLE else role.name}
    outbox.enqueue(Email.INVITATION, None, to=email, claims={"invitation": invitation.id}, **details)
    return invitation


def withdraw(email: str) -> bool:
    """Withdraw the waiting invitation of an email address; return False if there is none."""
    waiting = update(Invitation).where(Invitation.email_key == email_key(email.strip()), *Invitation.waiting())
    if not rows_changed(waiting.values(withdrawn_at=clock.now())):
        return False
    audit.record(None, AuditAction.INVITATION_WITHDRAWN, old=email)
    return True


def withdraw_all(by: User, since: datetime) -> None:
    """Withdraw the waiting invitations that an administrator has sent since then."""
    sent = select(Invitation.email).where(Invitation.invited_by_id == by.id, Invitation.created_at >= since)
    for email in db.session.scalars(sent.where(*Invitation.waiting())).all():
        withdraw(email)


def inviter(invitation: Invitation) -> str:
    """Return the name of the administrator; "" if the command line or a deleted account invited."""
    return invitation.invited_by.known_as if invitation.invited_by else ""


def register(invitation: Invitation, new: NewAccount) -> User | None:
    """Create the account of the invited address; return None if the invitation has ended in the meantime.

    Raises what registration.create() raises. Roll back then, so that the invitation can be used again.
    """
    if not _use(invitation):
        return None
    user = registration.create(replace(new, email=invitation.email, confirmed=True))
    invitation.user_id = user.id
    _complete(invitation, user)
    return user


def accept(invitation: Invitation, user: User) -> bool:
    """Give the role to the account that now has the invited address, unless it would lose permissions.

    Return False if the invitation has ended in the meantime.
    """
    if not _use(invitation, user_id=user.id):
        return False
    if invitation.role and not invitation.role.has(user.role.permissions):
        invitation.role_name = user.role_name
    _complete(invitation, user)
    return True


def _renew(email: str, role: Role, by: User | None) -> Invitation:
    """Return the waiting invitation of an address with these values and a new token, or else a new invitation."""
    now, actor = clock.now(), Actor.ADMINISTRATOR if by else Actor.COMMAND_LINE
    values: dict[str, Any] = {"role_name": role.name, "actor": actor, "invited_by_id": by and by.id}
    values |= {"created_at": now, "expires_at": now + LIFETIME}
    waiting = select(Invitation).where(Invitation.email_key == email_key(email), *Invitation.waiting())
    invitation = db.session.scalar(waiting.order_by(Invitation.id).limit(1))
    if invitation is None or not invitation.change(**values):
        invitation = Invitation(email=email, **values)
        db.session.add(invitation)
    db.session.flush()
    return invitation


def _use(invitation: Invitation, **changes: object) -> bool:
    """Accept a waiting invitation, unless its sender has just lost the permissions that it gives."""
    is_first = invitation.change(accepted_at=clock.now(), **changes)
    if invitation.invited_by:
        db.session.refresh(invitation.invited_by)
    return is_first and invitation.may_give_role


def _complete(invitation: Invitation, user: User) -> None:
    audit.record(user, AuditAction.INVITATION_ACCEPTED, invited_by=invitation.invited_by_id, actor=invitation.actor)
    if invitation.role:
        administration.set_role(user, invitation.role, send_notice=False)
