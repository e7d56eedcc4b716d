"""The overview: how many accounts, logins and emails there were, and what needs attention."""

from flask import render_template
from flask.typing import ResponseReturnValue

from app.admin.blueprint import bp


@bp.route("/")
def index() -> ResponseReturnValue:
    return render_template("admin/overview.html")
