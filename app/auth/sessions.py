# mypy: ignore-errors
"""Browsers, as their owner sees them: where one is logged in, which are trusted, and how to end that."""

from flask import abort, flash, redirect, render_template, url_for
from flask_login import current_user

from app.accounts import sessions, trusted_devices
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.extensions import db
from app.models import LogoutReason
from app.security import user_agents


@bp.route("/devices")
@access.reauthentication_required
def devices():
    found = sessions.find_all(current_user)
    context = {"trusted": trusted_devices.find_all(current_user), "in_words": user_agents.in_words}
    return render_template("auth/devices.html", sessions=found, **context)


@bp.route("/devices/<handle>/revoke", methods=["POST"])
@access.reauthentication_required
def revoke_device(handle):
    user_session = sessions.find_by_handle(current_user, handle)
    if user_session is None:
        abort(404)
    if user_session is current_user.current_session:
        login_flow.log_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    sessions.revoke(user_session, reason=LogoutReason.REVOKED_ELSEWHERE)
    db.session.commit()
    flash("That browser is logged out.", "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/revoke-others", methods=["POST"])
@access.reauthentication_required
def revoke_other_devices():
    count = sessions.revoke_others(current_user, current_user.current_session)
    db.session.commit()
    flash(f"{count} other {'browser is' if count == 1 else 'browsers are'} logged out.", "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/<handle>/untrust", methods=["POST"])
@access.reauthentication_required
def untrust_device(handle):
    if not trusted_devices.untrust_by_handle(current_user, handle):
        abort(404)
    db.session.commit()
    flash("That browser is asked for two-factor authentication again.", "success")
    return redirect(url_for("auth.devices"))
