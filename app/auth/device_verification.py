"""Device verification: the page for the emailed code when a password logs in on a new device."""

from typing import Any

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app import formats
from app.accounts import device_verification
from app.auth import login_flow
from app.auth.blueprint import bp
from app.auth.fields import CodeForm
from app.auth.forms import form_page
from app.extensions import db
from app.models import EmailChallenge, User
from app.request_state import PendingLogin, SessionKey
from app.security.rate_limits import rate_limited

WRONG_CODE = _l("This code is incorrect or has expired. Enter the code from the newest email, or request another one.")
NOT_SENT = _l("Too many codes were sent to this account. Try again in an hour.")


@bp.route("/verify-device", methods=["GET", "POST"])
@rate_limited("code")
def verify_device() -> ResponseReturnValue:
    user, form = login_flow.pending_device_verification(), CodeForm()
    if not user:
        return login_flow.restart(SessionKey.DEVICE_VERIFICATION)
    challenge = _challenge()
    if "again" in request.form and form.is_submitted():
        return _send_again(user, challenge)
    if form.validate_on_submit():
        if device_verification.is_right(user, challenge, form.code.data):
            return login_flow.complete_device_verification()
        db.session.commit()  # the attempt counts
        form.code.errors = [WRONG_CODE]
    return form_page("auth/verify_device.html", form, user=user, challenge=challenge, **_progress(user, challenge))


def _challenge() -> EmailChallenge | None:
    pending = PendingLogin.load(SessionKey.DEVICE_VERIFICATION)
    return db.session.get(EmailChallenge, pending.challenge_id) if pending and pending.challenge_id else None


def _send_again(user: User, challenge: EmailChallenge | None) -> ResponseReturnValue:
    wait = challenge.seconds_to_wait if challenge else 0
    if wait:
        flash(_("You can request another email %(later)s.", later=formats.later(wait)), "info")
        return redirect(url_for("auth.verify_device"))
    sent = device_verification.send_code(user, challenge)
    db.session.commit()
    if sent:
        login_flow.await_device_code(sent)
    flash(_("We sent another email.") if sent else str(NOT_SENT), "success" if sent else "warning")
    return redirect(url_for("auth.verify_device"))


def _progress(user: User, challenge: EmailChallenge | None) -> dict[str, Any]:
    if not challenge:
        return {}
    return {"status": device_verification.delivery(user, challenge), "wait": challenge.seconds_to_wait}
