"""Visitors from a blocked network can't send forms of the account pages. Pages, sessions and probes are unaffected."""

from flask import request
from flask_login import current_user

from app.accounts import blocks
from app.auth.blueprint import bp


@bp.before_request
def refuse_blocked_network() -> None:
    if request.method == "POST" and not current_user.is_authenticated:
        blocks.refuse_network(request.form.get("email", ""))
