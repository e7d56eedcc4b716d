# mypy: ignore-errors
"""`flask users`: what an administrator can do to accounts."""

import json
from functools import wraps

import click
from sqlalchemy import select

from app.accounts import (
    account_deletion,
    administration,
    cleanup,
    device_verification,
    passwords,
    personal_data,
    registration,
    sessions,
    sso,
    two_factor,
    usernames,
)
from app.accounts.registration import NewAccount
from app.cli import orphans, profiles, prompts
from app.cli.commands import Commands
from app.extensions import db
from app.models import AuditAction, User, UserSession
from app.security import audit

ELSEWHERE = "Another process is running this now."

users = Commands("users", help="Make, show and change accounts.")


def one_user(command):
    """Give a command the account that its first argument names, and commit what it did."""

    @click.argument("who", metavar="NAME-OR-ADDRESS")
    @wraps(command)
    def with_user(who, **options):
        command(find(who), **options)
        db.session.commit()

    return with_user


def find(who):
    """Return the account with this name or address; end with a sentence if there is none."""
    user = User.find(who)
    if user is None:
        raise click.ClickException(f"No account has the name or address {who!r}.")
    return user


@users.command()
@click.option("--email")
@click.option("--username")
@prompts.from_elsewhere
@prompts.no_input
@click.option("--confirmed", is_flag=True, help="Take the address as proved: no email.")
@click.option("--admin", is_flag=True, help="Make an administrator.")
@click.option("--profile", metavar="NAME=VALUE", multiple=True, help="Set a column that you added to the accounts.")
def create(email, username, password, no_input, confirmed, admin, profile):
    """Make an account. What is not given by options is asked for; a password is never shown, and never an argument.

    Without a password, an email goes to the address, with a link to choose one.
    """
    email, username, password = prompts.complete(email, username, password, no_input)
    try:
        email = registration.normal_email(email)
        usernames.check(username, by_administrator=True)
        if password is not None:
            passwords.check_new(password, email, username)
        user = registration.create(
            NewAccount(email, username, password, confirmed, invited=True, profile=profiles.parse(profile))
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except registration.ConstraintViolated as error:
        raise click.ClickException(f"The database refused the account: {error}") from None
    except registration.Taken as error:
        raise click.ClickException("This address or name is already in use.") from error
    administration.set_admin(user, admin)
    db.session.commit()
    click.echo(f"{user.username} <{user.email}> has an account.")


@users.command("list")
def list_users():
    """List all accounts, a line each."""
    for user in db.session.scalars(select(User).order_by(User.username_key).execution_options(yield_per=1000)):
        click.echo(f"{user.username:24} {user.email:40} {', '.join(_marks(user))}")


@users.command()
@one_user
def show(user):
    """Show one account."""
    alive = select(UserSession).where(UserSession.user_id == user.id, *UserSession.active())
    for label, value in {
        "Username": user.username,
        "Address": user.email,
        "State": ", ".join(_marks(user)),
        "Password": "set" if user.password_hash else "none",
        "Linked": ", ".join(sso.labels(user)) or "nothing",
        "Factors": ", ".join(two_factor.methods(user)) or "none",
        "Since": f"{user.created_at:%Y-%m-%d %H:%M} UTC",
        "Logged in": f"in {_browsers(len(db.session.scalars(alive).all()))}",
    }.items():
        click.echo(f"{label:10} {value}")


@users.command()
@one_user
def deactivate(user):
    """Keep a person out, from the next request on. Nothing is lost."""
    administration.deactivate(user)
    click.echo(f"{user.username} can't log in any more. To undo: flask users activate {user.username}")


@users.command()
@one_user
def activate(user):
    """Let a deactivated person in again."""
    administration.activate(user)
    click.echo(f"{user.username} can log in again.")


@users.command()
@one_user
def confirm(user):
    """Take a person's address as proved."""
    registration.confirm_manually(user)
    click.echo(f"{user.email} is confirmed.")


@users.command("send-reset")
@one_user
def send_reset(user):
    """Send a person an email with a link to choose a new password."""
    passwords.send_reset(user)
    click.echo(f"An email is on its way to {user.email}.")


@users.command("reset-two-factor")
@one_user
@prompts.asks_first
def reset_two_factor(user, confirm):
    """Turn two-factor authentication off for a person who is locked out. Be sure first that it is them who ask.

    Authenticator app, passkeys and recovery codes are removed, and every browser is logged out. An email says so.
    """
    if not two_factor.is_on(user):
        return click.echo(f"{user.username} has no second factor.")
    confirm(f"Turn two-factor authentication of {user.username} <{user.email}> off?")
    two_factor.reset(user)
    return click.echo(f"{user.username} logs in with one step now. An email is on its way to {user.email}.")


@users.command("trust-next-login")
@one_user
@prompts.asks_first
def trust_next_login(user, confirm):
    """Let a user log in once without an emailed code, within an hour.

    It is for users who can't read their email any more. Make sure first that it is the user who asks. The password is
    still needed; the history records it.
    """
    if reason := device_verification.why_never(user):
        return click.echo(reason)
    confirm(f"Let {user.username} <{user.email}> log in once without an emailed code?")
    device_verification.trust_next_login(user)
    until = f"{user.next_login_trusted_until:%H:%M} UTC"
    return click.echo(f"{user.username} can log in on a new device without a code, once, until {until}.")


@users.command("log-out")
@click.argument("who", metavar="NAME-OR-ADDRESS", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody, out of every browser.")
@prompts.asks_first
def log_out(who, everybody, confirm):
    """Sign a person out of every browser, or everybody."""
    if (who is None) != everybody:
        raise click.UsageError("Give a name or an address, or --all.")
    if everybody:
        confirm("Sign everybody out?")
        count = sessions.log_out_everybody()
    else:
        count = sessions.log_out_everywhere(find(who))
    db.session.commit()
    click.echo(f"{'Everybody' if everybody else who} was logged out of {_browsers(count)}.")


@users.command()
@one_user
@click.option("--now", is_flag=True, help="At once, without the 14 days in which it can be kept.")
@prompts.asks_first
def delete(user, now, confirm):
    """Delete an account, after 14 days or at once."""
    when = "now, for good" if now else f"in {account_deletion.GRACE.days} days"
    confirm(f"Delete {user.username} <{user.email}> {when}?")
    name = user.username
    if now:
        account_deletion.purge(user)
    else:
        account_deletion.request(user)
    click.echo(f"{name} {'is deleted' if now else 'will be deleted ' + when}.")


@users.command("cancel-deletion")
@one_user
def cancel_deletion(user):
    """Take back that an account is to be deleted."""
    account_deletion.cancel(user)
    click.echo(f"{user.username} stays.")


@users.command()
@one_user
def export(user):
    """Write all that is held about a person to the standard output, as JSON."""
    click.echo(json.dumps(personal_data.everything(user), default=str, indent=1))
    audit.record(user, AuditAction.EXPORTED)


@users.command()
def purge():
    """Delete the accounts whose 14 days are over. The server does so once a day."""
    outcome = cleanup.run("deleted_accounts", even_if_done=True)
    if outcome is None:
        raise click.ClickException(ELSEWHERE)
    if outcome.count or not outcome.error:
        click.echo(f"{outcome.count} {'account is' if outcome.count == 1 else 'accounts are'} deleted.")
    if outcome.error:
        raise click.ClickException(outcome.error)


@users.command("cleanup")
def clean_up():
    """Run all cleanup jobs now, which delete what is out of date. The server does so once a day."""
    left = orphans.mend(db.session.connection())
    db.session.commit()
    outcomes = cleanup.run_now()
    for name, outcome in outcomes.items():
        count, problem = (outcome.count, outcome.error) if outcome else ("-", ELSEWHERE)
        click.echo(f"{count:>8} {name.replace('_', ' ')}")
        if problem:
            click.echo(f"{name}: {problem}", err=True)
    if left:
        click.echo(f"{orphans.in_words(left)}, and nothing says what should become of them.", err=True)
    if left or any(outcome and outcome.error for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)


def _browsers(count):
    return "1 browser" if count == 1 else f"{count} browsers"


def _marks(user):
    """What is particular about an account, in words."""
    marks = {
        "deactivated": not user.is_active,
        "to be deleted": user.deletion_due_at,
        "confirmed": user.confirmed,
        "not confirmed": not user.confirmed,
        "administrator": user.is_admin,
    }
    return [mark for mark, holds in marks.items() if holds]
