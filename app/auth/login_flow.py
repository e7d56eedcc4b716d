# mypy: ignore-errors
"""The one way in and out. Every login method proves who the user is, then calls complete_login()."""

import secrets
from datetime import UTC, datetime, timedelta

from flask import abort, current_app, flash, g, jsonify, redirect, request, session, url_for
from flask_login import current_user, login_user, logout_user

from app import clock, signals
from app.accounts import device_verification, sessions, trusted_devices, two_factor
from app.auth.next_url import safe_next_url
from app.extensions import db
from app.models import EmailChallenge, User
from app.security import audit
from app.web.negotiation import wants_json

FIRST_STEPS = ("two_factor", "device_verification")  # in the session: who proved the password, and what is missing
# Of the session: what a provider said, until its owner has logged in; logins that were begun at providers.
SURVIVES_LOGIN = {"external_identity", "sso"}
# Of the session: what is ours, and handed to nobody when its visitor logs in.
OURS = {"_user_id", "_id", "_fresh", "_permanent", "_flashes", "csrf_token", "browser", "next", "next_for", "failures"}
OURS |= {"email_sent_to", "authenticator", "removed_passkey", "magic_link"}
OURS |= {*FIRST_STEPS, *SURVIVES_LOGIN}
DEVICE_LASTS = timedelta(days=365)
TWO_FACTOR_WITHIN = timedelta(minutes=10)
DEVICE_CODE_WITHIN = timedelta(minutes=30)  # after the password; a code lasts 15, and can be sent again


def complete_login(user, method, remember=False, to=None, words=None, is_both_factors=False):
    """Sign this browser in as `user`, who has proved it by `method`, and return the way to where they were going.

    Ask for two-factor authentication first if it is on, the device is not trusted, and the proof does not count as both
    factors. `to`: where they must go first; `words`: what they are told.
    """
    if not user.is_active:
        db.session.rollback()
        flash("This account has been deactivated. Write to us if that surprises you.", "warning")
        return redirect(url_for("auth.login"))
    held = session.get("next") if session.get("next_for") in {None, user.id} else None
    destination = to or safe_next_url(request.args.get("next")) or safe_next_url(held) or url_for("main.index")
    is_asked = two_factor.is_on(user) and not is_both_factors
    is_trusted = is_asked and trusted_devices.is_trusted(user, device())
    first_step = {"method": method, "remember": remember, "to": destination, "words": words}
    if is_asked and not is_trusted:
        return _keep_first_step("two_factor", "auth.two_factor_verify", user, **first_step)
    takes_code = method == "password" and device_verification.is_required(user, device())
    if takes_code and not device_verification.use_trust(user):
        return _ask_for_device_code(user, **first_step)
    return _let_in(user, method, remember, destination, words, is_by_trust=is_trusted)


def pending_two_factor():
    """Return whose first step this browser has done, and is to do the second: None if that is void by now."""
    return _whose_first_step("two_factor", TWO_FACTOR_WITHIN)


def complete_two_factor(trust_device=False):
    """Log in the one whom two_factor() returned, who has proved the second factor now; return the way on."""
    user, waiting = pending_two_factor(), session["two_factor"]
    return _let_in(user, waiting["method"], waiting["remember"], waiting["to"], waiting["words"], trust_device)


def unverified_device():
    """Return whose password was right on this device, which must be verified by a code; None if that is void by now."""
    return _whose_first_step("device_verification", DEVICE_CODE_WITHIN)


def wait_for_code(challenge):
    """Note of which email this browser must enter the code."""
    session["device_verification"] = session["device_verification"] | {"challenge": challenge and challenge.id}


def pass_device_verification():
    """Log in the user whom unverified_device() returned, whose code was right; return the way on.

    The login is as recent as the password: the code is no reauthentication.
    """
    user, waiting = unverified_device(), session["device_verification"]
    proved_at = datetime.fromtimestamp(waiting["at"], UTC)
    return _let_in(user, waiting["method"], waiting["remember"], waiting["to"], waiting["words"], proved_at=proved_at)


def start_again(step="two_factor"):
    """Lead a browser that has no two-factor authentication to do, or not any more, to the first."""
    waiting = session.pop(step, None)
    if wants_json():
        abort(401)
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if waiting:
        flash("That took too long, or the account was changed meanwhile. Log in again.", "warning")
    return redirect(url_for("auth.login", next=waiting and waiting["to"]))


def log_out():
    """Sign this browser out: its row ends, and a copy of its cookie is worth nothing."""
    user = current_user._get_current_object()
    if user.current_session:
        sessions.revoke(user.current_session)
    logout_user()
    session.clear()
    signals.send_after_commit(db.session(), signals.user_logged_out, user=user)
    db.session.commit()


def device():
    """Return by what this browser is known again: its cookie, or what that will be."""
    if "device" not in g:
        g.device = audit.device() or secrets.token_urlsafe(32)
    return g.device


def _keep_first_step(step, endpoint, user, **first_step):
    """Keep in mind that the first step is done, in the session: it signs nobody in. Lead to the second."""
    version = user.password_version
    db.session.commit()  # what the first step used up
    session.pop("next", None)  # it is in `first_step`
    for other in FIRST_STEPS:
        session.pop(other, None)
    session[step] = {"user": user.id, "version": version, "at": clock.now().timestamp(), **first_step}
    return _go_or_say(url_for(endpoint), is_logged_in=False)


def _ask_for_device_code(user, **first_step):
    """Email a code, unless this browser was sent one for the same account a moment ago."""
    waiting = session.get("device_verification")
    is_same = waiting and waiting["user"] == user.id and waiting["challenge"]
    challenge = db.session.get(EmailChallenge, waiting["challenge"]) if is_same else None
    if not challenge or not challenge.is_open or not device_verification.seconds_to_wait(challenge):
        challenge = device_verification.send_code(user, challenge)
    challenge_id = challenge and challenge.id
    return _keep_first_step("device_verification", "auth.verify_device", user, challenge=challenge_id, **first_step)


def _whose_first_step(step, within):
    """Return the user whose first step was done here, `within` a while; None if the account has changed since."""
    waiting = session.get(step)
    user = waiting and db.session.get(User, waiting["user"])
    if not user:
        return None
    is_in_time = clock.is_within(datetime.fromtimestamp(waiting["at"], UTC), within)
    is_same = user.is_active and user.password_version == waiting["version"]
    return user if is_in_time and is_same else None


def _let_in(user, method, remember, destination, words, trust_device=False, is_by_trust=False, proved_at=None):
    user_session = sessions.start(user, method, remember, device(), is_by_trust)
    if user_session is None:
        db.session.rollback()
        flash("Your account was changed at this moment. Log in again.", "warning")
        return redirect(url_for("auth.login"))
    user.next_login_trusted_until = None
    if proved_at:
        user_session.authenticated_at = proved_at
    if trust_device:
        g.device = trusted_devices.trust(user, user_session)
    if current_user.is_authenticated and current_user.current_session:
        sessions.revoke(current_user.current_session)
    is_same = not current_user.is_authenticated or current_user == user
    previous = {name: session[name] for name in session.keys() - OURS} if is_same else {}  # else it is another user's
    kept = {name: session[name] for name in SURVIVES_LOGIN & session.keys()}
    session.clear()
    session.update(kept)
    if remember:
        session.permanent = True
    user.current_session = user_session
    login_user(user, force=True)  # whoever was deactivated at this moment is out at the next request
    session.pop("_id", None)  # Flask-Login's own guess at the browser, which nothing reads
    told = {"user": user, "method": method, "previous_session": previous}
    signals.send_after_commit(db.session(), signals.user_logged_in, **told)
    db.session.commit()  # last: what was loaded need not be asked for again
    if words:
        flash(words, "success")
    response = _go_or_say(destination, is_logged_in=True)
    response.set_cookie(
        current_app.config["DEVICE_COOKIE_NAME"],
        device(),
        max_age=DEVICE_LASTS,
        path=current_app.config["SESSION_COOKIE_PATH"],
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def _go_or_say(address, is_logged_in):
    """Lead on after a step of the login; scripts are told where."""
    return jsonify(logged_in=is_logged_in, next=address) if wants_json() else redirect(address)
