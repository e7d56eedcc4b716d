"""Password and login: the page that lists the ways to log in."""

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.accounts import login_methods as methods
from app.auth.blueprint import bp
from app.connections import only_reads


@bp.route("/login-methods")
@login_required
@only_reads
def login_methods() -> ResponseReturnValue:
    return render_template("auth/login_methods.html", **methods.overview(current_user))
