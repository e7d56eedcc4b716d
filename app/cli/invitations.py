"""`flask users invite`, `withdraw` and `invitations`."""

import click
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.accounts import invitations
from app.cli.commands import echo_row, json_option
from app.cli.users import users
from app.extensions import db
from app.models import Invitation
from app.models.role import DEFAULT_ROLE

LAYOUT = "{email:40} {state:10} {role:14} {expires}"


@users.command()
@click.argument("address")
@click.option("--role", default=DEFAULT_ROLE, show_default=True, help="The role of the account.")
def invite(address: str, role: str) -> None:
    """Email an invitation to create an account, or send it again.

    It works for seven days, even if registration is closed. Only the newest link works.
    """
    try:
        invitation = invitations.send(address, role)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"An invitation is on its way to {invitation.email}. To undo: flask users withdraw {invitation.email}")


@users.command()
@click.argument("address")
def withdraw(address: str) -> None:
    """Withdraw an invitation."""
    try:
        is_withdrawn = invitations.withdraw(address)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    text = f"The invitation for {address} is withdrawn." if is_withdrawn else f"There is no invitation for {address}."
    click.echo(text)


@users.command("invitations")
@json_option
def list_invitations(as_json: bool) -> None:
    """List the invitations, the newest first."""
    newest = select(Invitation).options(joinedload(Invitation.invited_by)).order_by(Invitation.id.desc())
    for found in db.session.scalars(newest.execution_options(yield_per=1000)):
        row = {"email": found.email, "state": found.state, "role": found.role_name, "expires": found.expires_at}
        echo_row(LAYOUT, as_json, **row, sent=found.created_at, by=found.invited_by and found.invited_by.known_as)
