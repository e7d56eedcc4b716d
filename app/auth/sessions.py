"""Devices: the page that lists sessions and trusted devices, and revokes them."""

from collections import Counter
from collections.abc import Sequence

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user

from app import formats
from app.accounts import devices, sessions, wording
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.extensions import db
from app.models import LogoutReason, UserSession
from app.security import user_agents


@bp.route("/devices", endpoint="devices")
@access.reauthentication_required
def list_devices() -> ResponseReturnValue:
    current = current_user.current_session
    found = sorted(sessions.find_all(current_user), key=lambda user_session: user_session is not current)
    return render_template(
        "auth/devices.html",
        sessions=list(zip(found, _labels(found), strict=True)),
        trusted=devices.find_trusted(current_user),
        is_active=sessions.is_active,
        words={"name": user_agents.in_words, "kind": user_agents.device_kind, "login": wording.login},
    )


@bp.route("/devices/<handle>/revoke", methods=["POST"])
@access.reauthentication_required
def revoke_device(handle: str) -> ResponseReturnValue:
    user_session = sessions.find_by_handle(current_user, handle)
    if user_session is None:
        abort(404)
    if user_session is current_user.current_session:
        login_flow.log_out()
        flash(_("You have been logged out."), "success")
        return redirect(url_for("main.index"))
    sessions.revoke(user_session, reason=LogoutReason.REVOKED_ELSEWHERE)
    db.session.commit()
    flash(_("%(device)s was logged out.", device=user_agents.in_words(user_session.user_agent)), "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/revoke-others", methods=["POST"])
@access.reauthentication_required
def revoke_other_devices() -> ResponseReturnValue:
    count = sessions.revoke_others(current_user, current_user.current_session)
    db.session.commit()
    words = ngettext("%(num)d other device was logged out.", "%(num)d other devices were logged out.", count)
    flash(words, "success")
    return redirect(url_for("auth.devices"))


@bp.route("/devices/<handle>/untrust", methods=["POST"])
@access.reauthentication_required
def untrust_device(handle: str) -> ResponseReturnValue:
    if not devices.untrust_by_handle(current_user, handle):
        abort(404)
    db.session.commit()
    flash(_("The device is no longer trusted. The next login on it will require two-factor authentication."), "success")
    return redirect(url_for("auth.devices"))


def _labels(found: Sequence[UserSession]) -> list[str]:
    """Return a label for the button of each session; equal names get the time of the latest use."""
    names = [user_agents.in_words(user_session.user_agent) for user_session in found]
    count = Counter(names)
    return wording.distinct(
        _("%(device)s, last active %(ago)s", device=name, ago=formats.ago(user_session.last_seen_at))
        if count[name] > 1
        else name
        for name, user_session in zip(names, found, strict=True)
    )
