"""Access control: the user loader, the redirect to the login page, and decorators for sensitive views."""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import abort, flash, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import AnonymousUserMixin, current_user, login_required

from app.accounts import sessions, two_factor
from app.auth.account_state import hold_back, required_page
from app.auth.next_url import is_of_application, store_location, this_page, this_url
from app.extensions import db, login_manager
from app.models import Permission, User
from app.request_state import SessionKey, state
from app.switches import is_on
from app.web import stale_forms
from app.web.csrf import SAFE_METHODS
from app.web.negotiation import lead_to, wants_json

Arguments = ParamSpec("Arguments")
View = Callable[Arguments, ResponseReturnValue]


class Visitor(AnonymousUserMixin):
    """The user of a request without a login: no permissions."""

    is_admin = False

    def can(self, permission: int) -> bool:
        return False

    def is_administrator(self) -> bool:
        return False


login_manager.anonymous_user = Visitor


@login_manager.user_loader
def load_user(session_id: str) -> User | None:
    """Return the user of an active session.

    On an application's own pages, a user who must open a required page first counts as a visitor.
    """
    # In full for a form: if it loaded the rest later, its work could tell whether somebody else has an address.
    find = sessions.find if request.method in SAFE_METHODS else sessions.find_in_full
    user_session = find(session_id)
    if user_session is None:
        return None
    user_session.user.current_session = user_session
    state.user_id = user_session.user_id
    if is_of_application() and (endpoint := required_page(user_session.user)):
        state.held_back, state.held_session = endpoint, user_session
        return None
    return user_session.user


@login_manager.unauthorized_handler
def ask_for_login(message: str = _l("Log in to open this page."), is_stored: bool = False) -> ResponseReturnValue:
    """Redirect a visitor to the login page, which leads back to this page.

    Args:
        is_stored: store_location() was called, so the URL does not name this page.
    """
    if state.held_back:
        return hold_back(state.held_back)
    response = lead_to(url_for("auth.login", next=None if is_stored else this_page()), 401)
    if not state.said_why_logged_out:
        flash(str(message), "info")
    return response


def permission_required(permission: int) -> Callable[[View[Arguments]], View[Arguments]]:
    """Require a permission: visitors are asked to log in, and users without it get 403."""

    def decorate(view: View[Arguments]) -> View[Arguments]:
        @login_required
        @wraps(view)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResponseReturnValue:
            return view(*args, **kwargs) if current_user.can(permission) else abort(403)

        return guarded

    return decorate


def admin_required(view: View[Arguments]) -> View[Arguments]:
    """Require the permission ADMIN."""
    return permission_required(Permission.ADMIN)(view)


def reauthentication_required(view: View[Arguments]) -> View[Arguments]:
    """Require an authentication within the last 15 minutes. A submitted form is kept during the reauthentication."""

    @login_required
    @wraps(view)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResponseReturnValue:
        is_recent = sessions.is_recently_authenticated(current_user.current_session)
        return view(*args, **kwargs) if is_recent else _reauthenticate()

    return guarded


def confirmation_required(view: View[Arguments]) -> View[Arguments]:
    """Require a confirmed email address, unless CONFIRMATION is off. Other users confirm it first, and then return."""

    @login_required
    @wraps(view)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResponseReturnValue:
        if current_user.confirmed or not is_on("confirmation"):
            return view(*args, **kwargs)
        flash(_("Confirm your email address first."), "info")
        return hold_back("auth.unconfirmed")

    return guarded


def both_factors_required(view: View[Arguments]) -> View[Arguments]:
    """Require both factors if two-factor authentication is on, and reauthentication otherwise.

    Both factors permit one change within five minutes. The view calls credential_changed() after it.
    """
    return _both_factors_required(view, otherwise=reauthentication_required(view))


def two_factor_reauthentication_required(view: View[Arguments]) -> View[Arguments]:
    """Require both factors if two-factor authentication is on. Otherwise the view itself asks for the password."""
    return _both_factors_required(view, otherwise=view)


def credential_changed() -> None:
    """Consume the proof of both factors and renew the session, after the change of a credential.

    Only one of several concurrent changes succeeds.
    """
    consume_both_factors()
    renew_session()


def consume_both_factors() -> None:
    """Consume the proof of both factors if this view requires it; answer 409 if another request was faster."""
    user_session = current_user.current_session
    if state.needs_both_factors and not (user_session and sessions.consume_both_factors(user_session)):
        db.session.rollback()
        abort(409)


def renew_session() -> None:
    """Give this session a new id, in the caller's transaction, so that copies of the old cookie stop working.

    Undo the transaction and answer 409 if the session has ended since the request began.
    """
    if not current_user.current_session:  # a token authenticated this request
        return
    if not sessions.renew_id(current_user.current_session):
        db.session.rollback()
        abort(409)
    session[SessionKey.USER_ID] = current_user.get_id()
    session.pop(SessionKey.CSRF_TOKEN, None)


def browser_id() -> str:
    """Return a random id, to which passkey challenges are bound. A login or logout replaces it."""
    browser: str = session.setdefault(SessionKey.BROWSER, secrets.token_urlsafe(32))
    return browser


def is_opened_by_user() -> bool:
    """Return whether a user opened this link, and not the prefetching of a browser or a mail client."""
    purpose = request.headers.get("Sec-Purpose", request.headers.get("Purpose", ""))
    return request.method == "GET" and "prefetch" not in purpose


def _both_factors_required(view: View[Arguments], otherwise: View[Arguments]) -> View[Arguments]:
    @login_required
    @wraps(view)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResponseReturnValue:
        if not two_factor.is_on(current_user):
            return otherwise(*args, **kwargs)
        if not sessions.may_change_credentials(current_user.current_session):
            return _reauthenticate()
        state.needs_both_factors = True
        return view(*args, **kwargs)

    return guarded


def _reauthenticate() -> ResponseReturnValue:
    """Ask the user to reauthenticate, and keep the requested page or the submitted form."""
    if not current_user.current_session:  # a token authenticated this request, for one purpose only
        abort(403)
    if request.method != "POST" or "HX-Request" in request.headers:
        response = lead_to(url_for("auth.reauthenticate"), 403)
        store_location(current_user)
        return response
    if wants_json():
        abort(403)
    waiting = {"target": this_url(), "held": stale_forms.fields_to_hold()}
    return render_template("auth/reauthenticate.html", **waiting, methods=two_factor.methods(current_user)), 403
