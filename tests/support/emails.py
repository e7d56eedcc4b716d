"""How the tests read the application's emails, and send each of them."""

import re
from pathlib import Path

from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import Actor, AuditAction, AuditEvent, EmailChallenge, Invitation
from app.security.token_purposes import TokenPurpose

TEMPLATES = Path(__file__).parents[2] / "app/templates/email"
# The emails with the link "This wasn't me"
NOTICES = {name for name in Email if "_secure_account.txt" in (TEMPLATES / f"{name}.txt").read_text()}


def code_in(email):
    """Return the code in an email, such as "1234 5678"."""
    return re.search(r"^\d{4} \d{4}$", email.body, re.MULTILINE)[0]


def wrong(code):
    """Return another code than this one."""
    return f"{(int(code.replace(' ', '')) + 1) % 10**8:08}"


def send_whole(name, bob, new_email="new@example.com", label="Acme", to=None):
    """Enqueue an email with every value that its template may need."""
    challenge = EmailChallenge(
        purpose=TokenPurpose.MAGIC_LINK, email=bob.email, user=bob, state=bob.state(TokenPurpose.MAGIC_LINK)
    )
    event = AuditEvent(user_id=bob.id, action=AuditAction.NEW_DEVICE)
    invitation = Invitation(email=bob.email, actor=Actor.COMMAND_LINE)
    db.session.add_all([challenge, event, invitation])
    db.session.flush()
    claims = {"email": new_email, "challenge": challenge.id, "invitation": invitation.id}
    elsewhere = {
        "label": label,
        "address": new_email,
        "due": "2026-12-06T12:00:00+00:00",
        "inviter": label,
        "role": label,
    }
    factor = {"factor": "an authenticator app", "is_last": True, "left": 3}
    by_administrator = {"action": AuditAction.ROLE_CHANGED, "new": label}
    about = event if name in NOTICES else None
    enqueue(
        name, bob, to=to, claims=claims, event=about, new_email=new_email, **elsewhere, **factor, **by_administrator
    )
    db.session.commit()
