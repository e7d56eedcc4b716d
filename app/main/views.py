"""Home, and a page for members only."""

from flask import Blueprint, render_template

from app.auth.gate import members_only

bp = Blueprint("main", __name__)


@bp.route("/")
def index():
    return render_template("main/index.html")


@bp.route("/account")
@members_only
def account():
    return render_template("main/account.html")
