"""The command line, which calls the same services as the pages."""

from flask import Flask

from app import switches
from app.cli import blocks, cleanup, create, imports, invitations, listing, mail_test, migrations, statistics, why
from app.cli.doctor import doctor
from app.cli.jobs import jobs
from app.cli.limits import limits
from app.cli.mail import mail
from app.cli.roles import roles
from app.cli.sequences import fix_sequences
from app.cli.testing import test
from app.cli.users import users

__all__ = [
    "blocks",
    "cleanup",
    "create",
    "doctor",
    "imports",
    "invitations",
    "jobs",
    "limits",
    "listing",
    "mail",
    "mail_test",
    "migrations",
    "roles",
    "statistics",
    "test",
    "users",
    "why",
]


def init_app(app: Flask) -> None:
    migrations.init_app(app)
    for command in (doctor, fix_sequences, jobs, limits, mail, roles, test, users):
        app.cli.add_command(switches.on_commands(app, command) if command is users else command)
