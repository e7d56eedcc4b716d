"""An account as full as they get: 13 devices of many kinds beside the current one, and 200 events with long names.

And a site that has run for a year, for the pages of its administrators.
"""

from datetime import timedelta
from itertools import cycle

from app import clock
from app.extensions import db
from app.models import AuditAction, AuditEvent, Block, Device, Invitation, OutboxEmail, User, UserSession
from app.models.outbox_email import Status
from support.clients import ROOT

BROWSERS = [line[39:] for line in (ROOT / "tests/support/user_agents.txt").read_text().splitlines()]
HOURS = [0.05, 0.5, 1, 3, 3.2, 20, 26, 30, 50, 90, 150, 300, 700]  # since a device was used
ADDRESSES = ["203.0.113.14", "2001:db8:85a3:1234:5678:8a2e:1370:7334", "198.51.100.7", ""]
METHODS = ["password", "passkey", "magic_link", "sso:mock", "registration"]
DETAILS = {
    AuditAction.LOGGED_IN: {"method": "passkey"},
    AuditAction.LOGIN_FAILED: {"method": "password"},
    AuditAction.USERNAME_CHANGED: {"old": "l" * 64, "new": "g" * 64},
    AuditAction.EMAIL_CHANGED: {"old": "ada@example.com", "new": f"{'g' * 64}@example.com"},
    AuditAction.PASSKEY_RENAMED: {"old": "W" * 64, "new": "Ada's phone"},
    AuditAction.ROLE_CHANGED: {"old": "user", "new": "moderator", "by": "administrator"},
    AuditAction.DELETION_REQUESTED: {"old": None, "new": "2031-05-04T08:05:00+00:00"},
    AuditAction.IDENTITY_LINKED: {"provider": "mock"},
    AuditAction.TWO_FACTOR_USED: {"factor": "authenticator"},
}


def crowd(user):
    """Give a user devices and events."""
    now, addresses, methods = clock.now(), cycle(ADDRESSES), cycle(METHODS)
    for number, hours in enumerate(HOURS):
        key, browser, seen_at = f"device {number}", BROWSERS[number * 4], now - timedelta(hours=hours)
        times = {
            "created_at": seen_at - timedelta(days=number),
            "last_seen_at": seen_at,
            "expires_at": now + timedelta(9),
        }
        facts = {"ip": next(addresses), "user_agent": browser, "device": key, "method": next(methods)}
        db.session.add(UserSession(user_id=user.id, remembered=True, **facts, **times))
        if number % 3 == 1:
            db.session.add(Device(user_id=user.id, key=key, trusted_until=now + timedelta(12), user_agent=browser))
    for number, action in zip(range(200), cycle(AuditAction), strict=False):
        ip, browser = next(addresses), BROWSERS[number % len(BROWSERS)]
        facts = {"ip": ip, "user_agent": browser, "detail": DETAILS.get(action, {})}
        facts |= {"at": now - timedelta(hours=2.7 * number), "count": 12 if action.facts.by_strangers else 1}
        db.session.add(AuditEvent(user_id=user.id, action=action, **facts))
    db.session.commit()


ANSWERS = {  # of mail servers: the state of an email after each
    "": Status.SENT,
    "550 5.1.1 <person@example.org>: Recipient address rejected: User unknown in virtual mailbox table": Status.FAILED,
    "421 4.7.0 Try again later": Status.WAITING,
    "554 5.7.1 Message blocked due to spam content": Status.FAILED,
    "ConnectionRefusedError: [Errno 111] Connection refused": Status.WAITING,
}


def run_for_a_year():
    """Give the site 45 users, and each of them emails and events."""
    now = clock.now()
    people = [User(email=f"person{number}@d{number % 9}.example", username=f"person{number}") for number in range(44)]
    people.append(User(email=f"{'g' * 64}@{'x' * 60}.{'y' * 60}.example", username="g" * 64))
    for number, user in enumerate(people):
        user.confirmed = number % 4 > 0
        user.created_at = now - timedelta(days=8 * number if user.confirmed else number / 10)  # or cleanup deletes them
    db.session.add_all(people)
    db.session.flush()
    people[1].two_factor_enabled_at = people[1].deletion_due_at = people[1].deactivated_at = now
    people[1].role_name, people[1].login_count = "moderator", 1234
    crowd(people[1])
    for number, (user, answer, browser) in enumerate(zip(people, cycle(ANSWERS), cycle(BROWSERS), strict=False)):
        place = {"ip": ADDRESSES[number % 3], "network": ADDRESSES[number % 3], "user_agent": browser}
        for action, days in ((AuditAction.REGISTERED, 8), (AuditAction.CONFIRMED, 8), (AuditAction.LOGGED_IN, 0.3)):
            method = {"method": METHODS[number % 4]} if action == AuditAction.LOGGED_IN else {}
            at = now - timedelta(days=days * number, minutes=number)
            db.session.add(AuditEvent(user_id=user.id, action=action, detail=method, at=at, **place))
        failed = {"detail": {"method": "password"}, "at": now - timedelta(hours=number), "count": 1 + number % 7}
        db.session.add(AuditEvent(user_id=user.id, action=AuditAction.LOGIN_FAILED, **failed, **place))
        email = OutboxEmail(name="confirm", recipient=user.email, user_id=user.id, message_id="", error=answer)
        email.status, email.attempts = ANSWERS[answer], 1 + number % 3
        email.created_at, email.due_at = now - timedelta(hours=3 * number), now + timedelta(hours=1)
        email.done_at = None if email.status == Status.WAITING else email.created_at
        db.session.add(email)
    invite_and_block(people, now)
    db.session.commit()


def invite_and_block(people, now):
    """Add invitations and blocks of every kind."""
    for number, user in enumerate(people[-12:]):
        by = {"actor": "administrator", "invited_by_id": user.id} if number % 3 else {"actor": "command_line"}
        invitation = Invitation(email=f"invited.{user.email}"[-254:], role_name=("user", "moderator")[number % 2], **by)
        if number % 4 == 1:
            invitation.accepted_at, invitation.user_id = now, user.id
        elif number % 4 == 2:
            invitation.withdrawn_at = now
        elif number % 4 == 3:
            invitation.expires_at = now - timedelta(days=number)
        db.session.add(invitation)
    subjects = ["spam.example", "192.0.2.0/24", "2001:db8:1::/48", f"{'x' * 60}.{'y' * 60}.example", "eve@example.org"]
    for number, subject in enumerate(subjects):
        ends_at = now + timedelta(days=number - 1) if number % 2 == 0 else None
        reason = "Forty accounts in an hour, all with the same link in their profile." if number else "Spam"
        by = people[0].id if number % 2 else None
        db.session.add(Block(subject=subject, key=subject, reason=reason, created_by_id=by, ends_at=ends_at))
