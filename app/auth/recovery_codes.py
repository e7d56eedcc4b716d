"""Recovery codes: the page that creates new ones."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import recovery_codes, two_factor
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form
from app.extensions import db


@bp.route("/recovery-codes", methods=["GET", "POST"])
@access.both_factors_required
def renew_codes() -> ResponseReturnValue:
    if not two_factor.is_on(current_user):
        return redirect(url_for("auth.two_factor"))
    if not Form().validate_on_submit():
        return render_template("auth/renew_codes.html", left=recovery_codes.left(current_user))
    codes = recovery_codes.renew(current_user)
    access.credential_changed()
    db.session.commit()
    flash(_("Your old recovery codes no longer work."), "success")
    return render_template("auth/recovery_codes.html", codes=codes, going=next_url.pop_next("auth.two_factor"))
