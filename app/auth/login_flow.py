"""The login flow: every login method verifies the user and then calls complete_login(). Only this module logs in."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort, current_app, flash, jsonify, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response

from app import clock, signals
from app.accounts import blocks, device_verification, devices, sessions, two_factor, wording
from app.extensions import db
from app.models import EmailChallenge, User, UserSession
from app.request_state import SURVIVES_LOGIN, PendingLogin, SessionKey, state
from app.security import audit, origin
from app.web import cookies, language
from app.web.negotiation import wants_json
from app.web.own_urls import safe_next_url

METHODS = {"password", "passkey", "magic_link"}  # the login page offers these, and providers
TWO_FACTOR_WITHIN = timedelta(minutes=10)  # after the first factor
DEVICE_CODE_WITHIN = timedelta(minutes=30)  # after the password; a code is valid for 15 and can be sent again


def complete_login(
    user: User,
    method: str,
    remember: bool = False,
    to: str | None = None,
    message: str | None = None,
    is_both_factors: bool = False,
) -> Response:
    """Log in a user that `method` has verified, and redirect to the page that they requested.

    If needed, ask for two-factor authentication or an emailed device code first.

    Args:
        to: a page to open instead.
        message: flashed after the login.
        is_both_factors: `method` counts as two-factor authentication.
    """
    blocks.refuse_network()  # links and providers log in by GET
    if not user.is_active:
        audit.refused("the account is deactivated", user, method=method)
        db.session.rollback()
        flash(wording.deactivated(), "warning")
        return redirect(url_for("auth.login"))
    proved_at, next_url = clock.now().timestamp(), to or _destination(user)
    pending = PendingLogin(user.id, user.password_version, proved_at, method, remember, next_url, message)
    needs_two_factor = two_factor.is_on(user) and not is_both_factors
    is_trusted = needs_two_factor and devices.is_trusted(user, device_id())
    if needs_two_factor and not is_trusted:
        return _hand_over(SessionKey.TWO_FACTOR, "auth.two_factor_verify", pending)
    needs_code = method == "password" and device_verification.is_required(user, device_id())
    if needs_code and not device_verification.use_trust(user):
        return _ask_for_device_code(user, pending)
    return _start_session(user, pending, skipped_two_factor=is_trusted)


def pending_two_factor() -> User | None:
    """Return the user whose login waits for two-factor authentication; None if there is none, or it has expired."""
    return _pending_user(SessionKey.TWO_FACTOR, TWO_FACTOR_WITHIN)


def complete_two_factor(trust_device: bool = False) -> Response:
    """Log in the user of pending_two_factor(), after the view has verified a code or a passkey."""
    user, pending = _pending(SessionKey.TWO_FACTOR)
    return _start_session(user, pending, trust_device)


def pending_device_verification() -> User | None:
    """Return the user whose login waits for a device code; None if there is none, or it has expired."""
    return _pending_user(SessionKey.DEVICE_VERIFICATION, DEVICE_CODE_WITHIN)


def await_device_code(challenge: EmailChallenge) -> None:
    pending = _pending(SessionKey.DEVICE_VERIFICATION)[1]
    replace(pending, challenge_id=challenge.id).store(SessionKey.DEVICE_VERIFICATION)


def complete_device_verification() -> Response:
    """Log in the user of pending_device_verification(), after the view has verified the code.

    The code does not count as reauthentication: its 15 minutes run from the password.
    """
    user, pending = _pending(SessionKey.DEVICE_VERIFICATION)
    return _start_session(user, pending, authenticated_at=datetime.fromtimestamp(pending.proved_at, UTC))


def restart(key: SessionKey) -> Response:
    """Redirect to the login page because there is no pending login, or it has expired."""
    pending = PendingLogin.load(key)
    session.pop(key, None)
    if wants_json():
        abort(401)
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if pending:
        flash(_("Your login took too long, or your account has changed. Log in again."), "warning")
    return redirect(url_for("auth.login", next=pending.next_url if pending else None))


def log_out() -> None:
    """Log out this browser, and revoke its session, so that copies of its cookie stop working."""
    user = current_user._get_current_object()
    if user.current_session:
        sessions.revoke(user.current_session)
    logout_user()
    session.clear()
    signals.send_after_commit(db.session(), signals.user_logged_out, user=user)
    db.session.commit()


def last_method() -> str:
    """Return the login method that was last used in this browser, such as "password" or "sso:google"; or ""."""
    return request.cookies.get(current_app.config["METHOD_COOKIE_NAME"], "")


def device_id() -> str:
    """Return the value of the device cookie, or a new one, which the login will set."""
    if state.device_id is None:
        state.device_id = origin.device_cookie() or secrets.token_urlsafe(32)
    return state.device_id


def _destination(user: User) -> str:
    """Return the next page: from the URL, or from the session if it is stored for this user or for any."""
    stored = session.get(SessionKey.NEXT) if session.get(SessionKey.NEXT_FOR) in {None, user.id} else None
    return safe_next_url(request.args.get("next")) or safe_next_url(stored) or url_for("main.index")


def _hand_over(key: SessionKey, endpoint: str, pending: PendingLogin) -> Response:
    """Store the pending login in the session, and redirect to the page that completes it."""
    db.session.commit()  # the used first factor
    for other in (SessionKey.NEXT, SessionKey.TWO_FACTOR, SessionKey.DEVICE_VERIFICATION):
        session.pop(other, None)
    pending.store(key)
    language.keep_time_zone()
    return _go_on(url_for(endpoint), is_logged_in=False)


def _ask_for_device_code(user: User, pending: PendingLogin) -> Response:
    """Email a code, unless one was just sent for the same account and browser."""
    earlier = PendingLogin.load(SessionKey.DEVICE_VERIFICATION)
    sent = earlier.challenge_id if earlier and earlier.user_id == user.id else None
    challenge = db.session.get(EmailChallenge, sent) if sent else None
    if not challenge or not challenge.is_open or not challenge.seconds_to_wait:
        challenge = device_verification.send_code(user, challenge)
    pending = replace(pending, challenge_id=challenge.id if challenge else None)
    return _hand_over(SessionKey.DEVICE_VERIFICATION, "auth.verify_device", pending)


def _pending_user(key: SessionKey, within: timedelta) -> User | None:
    """Return the user of a pending login; None if it is older than `within`, or the account has changed."""
    pending = PendingLogin.load(key)
    user = db.session.get(User, pending.user_id) if pending else None
    if not pending or not user:
        return None
    is_in_time = clock.is_within(datetime.fromtimestamp(pending.proved_at, UTC), within)
    is_same = user.is_active and user.password_version == pending.password_version
    return user if is_in_time and is_same else None


def _pending(key: SessionKey) -> tuple[User, PendingLogin]:
    pending = PendingLogin.load(key) or abort(409)
    return db.session.get_one(User, pending.user_id), pending


def _start_session(
    user: User,
    pending: PendingLogin,
    trust_device: bool = False,
    skipped_two_factor: bool = False,
    authenticated_at: datetime | None = None,
) -> Response:
    user_session = sessions.start(user, pending.method, pending.remember, device_id(), skipped_two_factor)
    if user_session is None:
        db.session.rollback()
        flash(_("Your account was just changed. Log in again."), "warning")
        return redirect(url_for("auth.login"))
    user.next_login_trusted_until = None
    language.complete(user)
    user_session.authenticated_at = authenticated_at or user_session.authenticated_at
    if trust_device:
        state.device_id = devices.trust(user, user_session)
    values = {"user": user, "method": pending.method, "previous_session": _replace_session(user, user_session)}
    next_url = _after_confirmation(user, pending.next_url)
    signals.send_after_commit(db.session(), signals.user_logged_in, **values)
    db.session.commit()  # last: a commit expires loaded objects, and reloading each costs a query
    if pending.message:
        flash(pending.message, "success")
    return _with_device_cookies(_go_on(next_url, is_logged_in=True), pending.method)


def _replace_session(user: User, user_session: UserSession) -> dict[str, Any]:
    """Revoke the browser's previous session, clear the Flask session, and log `user` in.

    Return an application's own keys of the Flask session, unless they belong to another user.
    """
    if current_user.is_authenticated and current_user.current_session:
        sessions.revoke(current_user.current_session)
    is_same = not current_user.is_authenticated or current_user == user
    previous = {name: session[name] for name in session.keys() - set(SessionKey)} if is_same else {}
    kept: dict[str, Any] = {key: session[key] for key in SURVIVES_LOGIN & session.keys()}
    session.clear()
    session.update(kept)
    if user_session.remembered:
        session.permanent = True
    user.current_session, state.user_id = user_session, user.id
    login_user(user, force=True)  # a user who has just been deactivated is logged out at the next request
    session.pop(SessionKey.IDENTIFIER, None)  # for Flask-Login's session protection, which is off
    return previous


def _after_confirmation(user: User, next_url: str) -> str:
    """Return `next_url`, or the page to confirm the address first, since public pages of an application don't ask."""
    own_page = url_for("auth.unconfirmed") if not user.can_use_application else ""
    if not own_page or next_url.startswith(own_page.removesuffix("unconfirmed")):  # account pages ask by themselves
        return next_url
    session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = next_url, user.id
    return own_page


def _go_on(url: str, is_logged_in: bool) -> Response:
    """Redirect after a step of the login, or return the URL to a script."""
    return jsonify(logged_in=is_logged_in, next=url) if wants_json() else redirect(url)


def _with_device_cookies(response: Response, method: str) -> Response:
    """Set the cookies by which this browser is recognised, and knows the method that was used last."""
    cookies.remember(response, "DEVICE_COOKIE_NAME", device_id())
    if method in METHODS or method.startswith("sso:"):
        cookies.remember(response, "METHOD_COOKIE_NAME", method)
    return response
