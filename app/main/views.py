"""The home page and the account overview."""

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.accounts import login_methods, passkeys, recovery_codes, sessions
from app.switches import SwitchedBlueprint

bp = SwitchedBlueprint("main", __name__)


@bp.route("/")
def index() -> ResponseReturnValue:
    return render_template("main/index.html")


@bp.route("/account")
@login_required
def account() -> ResponseReturnValue:
    counts = {"devices": len(sessions.find_all(current_user)), "codes": recovery_codes.left(current_user)}
    details = passkeys.details(current_user)
    return render_template("main/account.html", passkey_user=details, **counts, **login_methods.overview(current_user))


@bp.route("/.well-known/change-password")
def well_known_change_password() -> ResponseReturnValue:
    """Redirect password managers (W3C, A Well-Known URL for Changing Passwords)."""
    return redirect(url_for("auth.change_password"))
