"""`flask users create`."""

from collections.abc import Iterable

import click

from app.accounts import administration, password_strength, registration, usernames
from app.accounts.registration import NewAccount
from app.cli import profiles, prompts
from app.cli.users import users
from app.extensions import db
from app.models import Role
from app.switches import is_on


@users.command()
@click.option("--email")
@click.option("--username")
@prompts.password_options
@prompts.no_input
@click.option("--confirmed", is_flag=True, help="Mark the email address as confirmed.")
@click.option("--admin", is_flag=True, help="Make the user an administrator.")
@click.option("--language", help="The language of emails and pages, one of LANGUAGES.")
@click.option("--time-zone", help="The time zone, such as Europe/Berlin.")
@click.option("--profile", metavar="NAME=VALUE", multiple=True, help="Set a column that you added to the accounts.")
def create(
    email: str | None,
    password: str | None,
    no_input: bool,
    confirmed: bool,
    admin: bool,
    profile: Iterable[str],
    language: str | None,
    time_zone: str | None,
    username: str | None = None,
) -> None:
    """Create an account, and ask for missing options.

    An email tells the user what is left to do before the first login, if anything is.
    """
    email, username, password = prompts.complete(email, username, password, no_input)
    try:
        email = registration.normal_email(email)
        if is_on("username"):
            usernames.check(username, by_administrator=True)
        if password is not None:
            password_strength.check(password, email, username)
        columns = {"language": language, "time_zone": time_zone} | profiles.parse(profile)
        new = NewAccount(email, username, password, confirmed, invited=True, profile=columns)
        user = registration.create(new)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except registration.ConstraintViolated as error:
        raise click.ClickException(f"The database refused the account: {error}") from None
    except registration.Taken as error:
        words = "email address or username" if is_on("username") else "email address"
        raise click.ClickException(f"This {words} is already in use.") from error
    if admin:
        administration.set_role(user, Role.of(is_admin=True), send_notice=False)
    db.session.commit()
    click.echo(f"Created the account {user.name_and_email}.")
