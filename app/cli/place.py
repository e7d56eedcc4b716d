"""Which application a command speaks to, said before it speaks, so that nobody mends the wrong one."""

import click
from flask import current_app

from app.extensions import db


def say_where():
    """Say on stderr which configuration and database this is, outside production."""
    name = current_app.config["CONFIG_NAME"]
    if name != "production":
        click.echo(f"[{name}: {db.engine.url.render_as_string(hide_password=True)}]", err=True)
