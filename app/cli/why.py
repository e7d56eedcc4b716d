# mypy: ignore-errors
"""`flask users why`: who is stuck, and how to help."""

from contextlib import suppress

import click
from sqlalchemy import select

from app.accounts import authenticators, device_verification, email_typos, recovery_codes, registration, sso, two_factor
from app.cli.users import users
from app.extensions import db
from app.models import User, UserSession
from app.security import user_agents
from app.security.rate_limits import report
from app.security.rate_limits.counters import storage_errors


@users.command()
@click.argument("who", metavar="NAME-OR-ADDRESS")
def why(who):
    """Say why a person can't log in, and which command mends it."""
    user = User.find(who)
    if user is None:
        likely = email_typos.suggest(who) if "@" in who else None
        hint = f" But {likely} has one." if likely and User.find(likely) else ""
        raise click.ClickException(f"No account has the name or address {who!r}.{hint}")
    for sentence in [*_obstacles(user)] or [f"Nothing keeps {user.username} out but a forgotten password."]:
        click.echo(sentence)
    click.echo(f"A link to choose a password: flask users send-reset {user.username}")
    click.echo(_last_time(user))


def _obstacles(user):
    """What keeps a person out, a sentence each, with the remedy."""
    name = user.username
    if not user.is_active:
        yield f"{name} is deactivated. To undo: flask users activate {name}"
    if user.deletion_due_at:
        due = f"{user.deletion_due_at:%Y-%m-%d}"
        yield f"{name} will be deleted on {due}. To keep the account: flask users cancel-deletion {name}"
    if not user.confirmed:
        yield f"{user.email} was never confirmed. To take it as proved: flask users confirm {name}"
        yield _email(user)
        if likely := email_typos.suggest(user.email):
            yield f"The address is one slip from {likely}."
    if user.password_hash is None:
        key = ["a passkey"] if "passkey" in two_factor.methods(user) else []
        ways = " or ".join([*key, *sso.labels(user), "a mailed link"])
        yield f"{name} has no password, and logs in by {ways} only."
    if two_factor.is_on(user):
        factors = ", ".join(two_factor.methods(user))
        yield f"{name} does two-factor authentication ({factors}; recovery codes left: {recovery_codes.left(user)})."
        app = authenticators.find(user)
        if app and not app.is_readable:
            yield f"No key that there is reads the secret of {name}'s app: no code of it is right any more."
        yield f"If that is lost, and you are sure who asks: flask users reset-two-factor {name}"
    if device_verification.why_never(user) is None and user.password_hash:
        yield f"On a new device the password of {name} takes a code from an email to {user.email}, too."
        yield f"If that can't be read, and you are sure who asks: flask users trust-next-login {name}"
    with suppress(*storage_errors()):
        if any(entry.is_full for entry in report.entries_of(user.username, user.email)):
            yield f"Passwords of {name} were tried too often from somewhere. To forget that: flask limits clear {name}"


def _email(user):
    """What became of the confirmation email."""
    email = registration.last_email(user)
    if email is None:
        return "No confirmation email to this address is on record."
    at = f"{email.done_at or email.due_at:%Y-%m-%d %H:%M} UTC"
    return {
        "sent": f"The mail server took the email to it at {at}.",
        "failed": f"The mail server refused the email at {at}: {email.error}",
        "waiting": f"The email to it waits, and is tried again at {at}. {email.error}",
        "obsolete": "The email to it was dropped, because the account had changed.",
    }[email.status]


def _last_time(user):
    mine = select(UserSession).where(UserSession.user_id == user.id).order_by(UserSession.created_at.desc())
    last = db.session.scalar(mine.limit(1))
    if last is None:
        return "No login is on record."
    with_what = user_agents.in_words(last.user_agent)
    return f"Last logged in at {last.created_at:%Y-%m-%d %H:%M} UTC ({last.method}, {with_what})."
