# mypy: ignore-errors
"""Commands: the same verbs, another door."""

from app.cli import why
from app.cli.doctor import doctor
from app.cli.limits import limits
from app.cli.mail import mail
from app.cli.testing import test
from app.cli.users import users

__all__ = ["doctor", "limits", "mail", "test", "users", "why"]


def init_app(app):
    for command in (doctor, limits, mail, test, users):
        app.cli.add_command(command)
