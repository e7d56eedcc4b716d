"""`flask users`: commands for accounts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from app.accounts import (
    account_deletion,
    administration,
    device_verification,
    email_typos,
    login_obstacles,
    magic_links,
    passwords,
    personal_data,
    registration,
    sessions,
    two_factor,
)
from app.accounts.login_obstacles import Obstacle
from app.cli import prompts
from app.cli.commands import AnyCommand, Commands
from app.extensions import db
from app.models import AuditAction, User
from app.security import audit

MAX_DIGITS = 9  # of an id

users = Commands("users", help="Create, show and change accounts.")


def find(name: str) -> User:
    """Return the account with this username, email address or id, or exit with an error.

    Usernames begin with a letter, so a number is always an id.
    """
    is_id = name.isascii() and name.isdecimal() and len(name) <= MAX_DIGITS
    user = db.session.get(User, int(name)) if is_id else User.find(name)
    if user is None:
        likely = email_typos.suggest(name) if "@" in name else None
        hint = f" Is it {likely}?" if likely and User.find(likely) else ""
        raise click.ClickException(f"There is no account {name!r}.{hint}")
    return user


def with_user(command: AnyCommand) -> AnyCommand:
    """Pass the user named by the first argument to a command, commit, and then print the text that it returns."""

    @click.argument("name", metavar="ACCOUNT")
    @wraps(command)
    def run(name: str, **options: Any) -> None:
        text: str = command(find(name), **options)
        db.session.commit()
        click.echo(text)

    return run


@users.command()
@with_user
def confirm(user: User) -> str:
    """Mark the email address of a user as confirmed."""
    registration.confirm_manually(user)
    return f"{user.email} is confirmed."


@users.command()
@with_user
def deactivate(user: User) -> str:
    """Keep a user from logging in, and log them out everywhere. No data is lost."""
    administration.deactivate(user)
    return f"{user.known_as} can no longer log in. To undo: flask users activate {user.known_as}"


@users.command()
@with_user
def activate(user: User) -> str:
    """Let a deactivated user log in again."""
    administration.activate(user)
    return f"{user.known_as} is no longer deactivated."


@users.command("send-reset")
@with_user
def send_reset(user: User) -> str:
    """Email a user a link to choose a new password."""
    _refuse(*login_obstacles.to_links(user))
    passwords.send_reset(user)
    return f"An email is on its way to {user.email}."


@users.command("send-login-link")
@with_user
def send_login_link(user: User) -> str:
    """Email a user a link that logs them in once. It works for a day."""
    _refuse(*login_obstacles.to_links(user))
    magic_links.send_login_link(user)
    return f"An email is on its way to {user.email}."


@users.command("reset-two-factor")
@with_user
@prompts.confirmation
def reset_two_factor(user: User, confirm: Callable[[str], None]) -> str:
    """Turn off two-factor authentication for a user who has lost their factors. Verify their identity first.

    Removes authenticator app, passkeys and recovery codes, logs the user out everywhere, and notifies them by email.
    """
    if not two_factor.is_on(user):
        return f"{user.known_as} doesn't use two-factor authentication."
    confirm(f"Turn off two-factor authentication for {user.name_and_email}?")
    two_factor.reset(user)
    told = "" if user.is_unreachable else f" An email is on its way to {user.email}."
    return f"{user.known_as} can log in without two-factor authentication.{told}"


@users.command("trust-next-login")
@with_user
@prompts.confirmation
def trust_next_login(user: User, confirm: Callable[[str], None]) -> str:
    """Allow a user to log in once without an emailed code, within an hour. Verify their identity first.

    For users who can no longer read their email. The password is still required.
    """
    _refuse(*login_obstacles.account.deactivated(user))
    if reason := device_verification.why_never(user):
        return reason
    confirm(f"Allow {user.name_and_email} to log in once without an emailed code?")
    device_verification.trust_next_login(user)
    until = f"{user.next_login_trusted_until:%H:%M} UTC"
    return f"{user.known_as} can log in on a new device without a code, once, until {until}."


@users.command()
@with_user
@click.argument("username")
def rename(user: User, username: str) -> str:
    """Change the username of a user, and tell them by email."""
    with _refusals():
        administration.rename(user, username)
    return f"{user.email} is now called {user.username}."


@users.command("set-email")
@with_user
@click.argument("email")
def set_email(user: User, email: str) -> str:
    """Change the email address of a user, log them out everywhere, and tell both addresses."""
    with _refusals():
        administration.set_email(user, email)
    return f"The email address of {user.known_as} is now {user.email}. Emails about the change are on their way."


@users.command("log-out")
@click.argument("name", metavar="ACCOUNT", required=False)
@click.option("--all", "everybody", is_flag=True, help="Log out all users.")
@prompts.confirmation
def log_out(name: str | None, everybody: bool, confirm: Callable[[str], None]) -> None:
    """Log a user out everywhere, or all users."""
    if (name is None) != everybody:
        raise click.UsageError("Name an account, or give --all.")
    if name is None:
        confirm("Log out all users?")
        count = sessions.log_out_everybody()
    else:
        count = administration.log_out_everywhere(find(name))
    db.session.commit()
    click.echo(f"Logged out {name or 'all users'} on {_devices(count)}.")


@users.command()
@with_user
@click.option("--now", is_flag=True, help="Delete at once, without the 14 days in which the user can cancel.")
@prompts.confirmation
def delete(user: User, now: bool, confirm: Callable[[str], None]) -> str:
    """Delete an account, in 14 days or now."""
    when = "now" if now else f"in {account_deletion.GRACE.days} days"
    confirm(f"Delete {user.name_and_email} {when}?")
    name = user.known_as
    if now:
        account_deletion.purge(user)
        return f"Deleted {name}."
    account_deletion.request(user)
    return f"{name} will be deleted {when}."


@users.command("cancel-deletion")
@with_user
def cancel_deletion(user: User) -> str:
    """Cancel the deletion of an account."""
    account_deletion.cancel(user)
    return f"{user.known_as} won't be deleted."


@users.command()
@with_user
def export(user: User) -> str:
    """Write everything that is stored about a user to standard output, as JSON."""
    everything = personal_data.everything(user)
    audit.record(user, AuditAction.EXPORTED)
    return json.dumps(everything, default=personal_data.in_json, indent=1)


@contextmanager
def _refusals() -> Iterator[None]:
    """Exit with the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _refuse(*obstacles: Obstacle) -> None:
    for obstacle in obstacles:
        raise click.ClickException(f"{obstacle.cause} Run: {obstacle.command}")


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
