"""Password and login: the page that lists the ways to log in, and the login methods that an application adds."""

from collections.abc import Callable
from typing import NamedTuple

from flask import current_app, render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.accounts import login_methods as methods
from app.accounts import wording
from app.auth import login_flow
from app.auth.blueprint import bp
from app.models import User


class LoginMethod(NamedTuple):
    """A login method of your own: a button beside those of the providers, and a row of this page."""

    name: str  # what complete_login() gets
    label: str
    icon: str  # the name of a file in app/templates/icons, without .svg
    start: str  # the endpoint to which the button posts; without it, the method is off
    settings: str  # the endpoint that connects and disconnects the account
    account: Callable[[User], str]  # returns the name of the connected account, or ""


_added: list[LoginMethod] = []


def add_login_method(method: LoginMethod) -> None:
    _added.append(method)
    login_flow.METHODS.add(method.name)
    wording.METHODS[method.name] = wording.at_provider(method.label)


@bp.app_template_global()
def added_login_methods() -> list[LoginMethod]:
    return [method for method in _added if method.start in current_app.view_functions]


@bp.route("/login-methods")
@login_required
def login_methods() -> ResponseReturnValue:
    return render_template("auth/login_methods.html", **methods.overview(current_user))
