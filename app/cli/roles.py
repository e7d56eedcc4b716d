"""`flask roles`, and `flask users set-role`."""

import click
from flask.cli import with_appcontext
from sqlalchemy import func, select

from app.accounts import administration
from app.cli.commands import echo_row, for_administrators, json_option
from app.cli.users import users, with_user
from app.extensions import db
from app.models import Role, User


@click.command()
@with_appcontext
@for_administrators
@json_option
def roles(as_json: bool) -> None:
    """List the roles, with their permissions and the number of their users."""
    count = select(func.count()).where(User.role_name == Role.name).scalar_subquery()
    for role, number in db.session.execute(select(Role, count).order_by(Role.permissions)):
        row = {"role": role.name, "users": number, "permissions": role.permission_names}
        word = "user" if number == 1 else "users"
        echo_row(f"{{role:20}} {{users:8}} {word:5}  {{permissions}}", as_json, **row)


@users.command("set-role")
@with_user
@click.argument("role_name", metavar="ROLE")
def set_role(user: User, role_name: str) -> str:
    """Change the role of a user."""
    role = db.session.get(Role, role_name) if role_name.isprintable() else None
    if role is None:
        names = ", ".join(db.session.scalars(select(Role.name).order_by(Role.permissions)))
        raise click.ClickException(f"There is no role {role_name!r}. The roles are: {names}.")
    administration.set_role(user, role)
    return f"{user.known_as} is now: {role.name}."
