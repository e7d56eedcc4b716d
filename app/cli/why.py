"""`flask users why` explains why a user can't log in, and which command helps."""

import click
from sqlalchemy import select

from app import switches
from app.accounts import login_obstacles
from app.cli.commands import echo_row, json_option
from app.cli.users import find, users
from app.extensions import db
from app.models import User, UserSession
from app.security import user_agents


@users.command()
@click.argument("name", metavar="ACCOUNT")
@json_option
def why(name: str, as_json: bool) -> None:
    """Explain why a user can't log in, and which command helps."""
    user = find(name)
    obstacles = login_obstacles.of(user)
    if not as_json and all(obstacle.is_past for obstacle in obstacles):
        click.echo(f"{user.known_as} can log in. They may have forgotten their password.")
    for obstacle in obstacles:
        layout = "{cause} Run: {command}" if obstacle.command else "{cause}"
        echo_row(layout, as_json, cause=obstacle.cause, command=obstacle.command)
    if as_json:
        return
    helps = not login_obstacles.to_links(user)
    if helps and switches.is_on("password"):
        click.echo(f"To email a link to choose a new password: flask users send-reset {user.known_as}")
    elif helps and switches.is_on("passwordless"):
        click.echo(f"To email a link that logs in: flask users send-login-link {user.known_as}")
    click.echo(_last_login(user))


def _last_login(user: User) -> str:
    mine = select(UserSession).where(UserSession.user_id == user.id).order_by(UserSession.created_at.desc())
    last = db.session.scalar(mine.limit(1))
    if last is None:
        return "No login is on record."
    device = user_agents.in_words(last.user_agent)
    return f"Last login: {last.created_at:%Y-%m-%d %H:%M} UTC ({last.method}, {device})."
