"""Password and login: the page that lists the ways to log in."""

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.accounts import passkeys, passwords, sso
from app.auth.blueprint import bp
from app.connections import only_reads


@bp.route("/login-methods")
@login_required
@only_reads
def login_methods() -> ResponseReturnValue:
    found = {"passkeys": passkeys.all_of(current_user), "linked": sso.labels(current_user)}
    return render_template("auth/login_methods.html", **found, password_set_at=passwords.set_at(current_user))
