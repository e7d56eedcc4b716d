"""Devices: the page that lists sessions and trusted devices, and revokes them."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import devices, sessions
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.extensions import db
from app.models import LogoutReason
from app.security import user_agents


@bp.route("/devices", endpoint="devices")
@access.reauthentication_required
def list_devices() -> ResponseReturnValue:
    context = {"sessions": sessions.find_all(current_user), "trusted": devices.find_trusted(current_user)}
    return render_template("auth/devices.html", **context, in_words=user_agents.in_words)


@bp.route("/devices/<handle>/revoke", methods=["POST"])
@access.reauthentication_required
def revoke_device(handle: str) -> ResponseReturnValue:
    user_session = sessions.find_by_handle(current_user, handle)
    if user_session is None:
        abort(404)
    if user_session is current_user.current_session:
        login_flow.log_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    sessions.revoke(user_session, reason=LogoutReason.REVOKED_ELSEWHERE)
    db.session.commit()
    flash("That device is logged out.", "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/revoke-others", methods=["POST"])
@access.reauthentication_required
def revoke_other_devices() -> ResponseReturnValue:
    count = sessions.revoke_others(current_user, current_user.current_session)
    db.session.commit()
    flash(f"{count} other {'device is' if count == 1 else 'devices are'} logged out.", "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/<handle>/untrust", methods=["POST"])
@access.reauthentication_required
def untrust_device(handle: str) -> ResponseReturnValue:
    if not devices.untrust_by_handle(current_user, handle):
        abort(404)
    db.session.commit()
    flash("That device is no longer trusted: it needs two-factor authentication again.", "success")
    return redirect(url_for("auth.devices"))
