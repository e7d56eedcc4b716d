# mypy: ignore-errors
"""Who may open a page: the user loader, and what views require."""

import secrets
from functools import wraps
from urllib.parse import quote

from flask import abort, current_app, flash, g, render_template, request, session, url_for
from flask_login import current_user, login_required

from app.accounts import sessions, two_factor
from app.auth import held_forms
from app.auth.account_state import hold_back, must_go_to
from app.auth.next_url import store_location, this_page
from app.extensions import db, login_manager, read_without_transaction
from app.web.negotiation import lead_to, wants_json

OUR_BLUEPRINTS = {"auth", "main", "dev", "bootstrap"}


@login_manager.user_loader
def load_user(session_id):
    if hasattr(current_app.view_functions.get(request.endpoint), "only_reads"):
        read_without_transaction()
    user_session = sessions.find(session_id)
    if user_session is None:
        return None
    user_session.user.current_session = user_session
    if _is_of_the_application() and (endpoint := must_go_to(user_session.user)):
        g.held_back, g.held_session = endpoint, user_session
        return None
    return user_session.user


@login_manager.unauthorized_handler
def ask_for_login(words="Log in to open this page.", is_held=False):
    """Lead a stranger to the login form, and from there back; `is_held`: store_location() has this page already."""
    if "held_back" in g:
        return hold_back(g.held_back)
    going = lead_to(url_for("auth.login", next=None if is_held else this_page()), 401)
    if "told_why" not in g:
        flash(words, "info")
    return going


def reauthentication_required(view):
    """Let only those in who proved lately who they are; others are asked for that first, and what they typed waits."""

    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        return view(*args, **kwargs) if sessions.is_recent(current_user.current_session) else _reauthenticate()

    return guarded


def both_factors_required(view):
    """Require both factors for each change of a credential, if two-factor is on; if not, reauthentication.

    The proof is good for one change within five minutes: the view calls credential_changed() when it has made it.
    """
    return _both_factors_required(view, otherwise=reauthentication_required(view))


def two_factor_reauthentication_required(view):
    """Require the same as both_factors_required() if two-factor is on; if not, the view asks for the one factor."""
    return _both_factors_required(view, otherwise=view)


def credential_changed():
    """Use up the proof that the change of a credential needed, and renew the session; the view calls it last.

    Of two changes at once, one is made.
    """
    use_proof()
    renew_session()


def use_proof():
    """Use up the proof of both factors, if this request needed one."""
    if g.get("needs_proof") and not sessions.use_proof(current_user.current_session):
        db.session.rollback()
        abort(409)


def renew_session():
    """Give this browser's session another id, in the caller's transaction: copies of its cookie are worth nothing."""
    if not current_user.current_session:  # a token brought the user
        return
    sessions.renew(current_user.current_session)
    session["_user_id"] = current_user.get_id()
    session.pop("csrf_token", None)


def browser_id():
    """What this browser is called until it logs in or out: a passkey answers what it alone was asked."""
    return session.setdefault("browser", secrets.token_urlsafe(32))


def is_opened_by_user():
    """Say whether a link was opened by somebody: not by HEAD, nor ahead of time, nor by a form without its token."""
    ahead = "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", ""))
    return request.method == "GET" and not ahead and "typed" not in g


def _both_factors_required(view, otherwise):
    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        if not two_factor.is_on(current_user):
            return otherwise(*args, **kwargs)
        if not sessions.may_change_credentials(current_user.current_session):
            return _reauthenticate()
        g.needs_proof = True
        return view(*args, **kwargs)

    return guarded


def _reauthenticate():
    """Ask for a proof first; the page asked for, or the form that was sent, waits."""
    if not current_user.current_session:  # a token can't prove more than it did
        abort(403)
    if request.method != "POST" or "HX-Request" in request.headers:
        going = lead_to(url_for("auth.reauthenticate"), 403)
        store_location(current_user)
        return going
    if wants_json():
        abort(403)
    waiting = {"target": quote(request.path), "held": held_forms.fields_to_hold()}
    return render_template("auth/reauthenticate.html", **waiting, methods=two_factor.methods(current_user)), 403


def _is_of_the_application():
    """Return whether this page is an application's own: there, users who are held back are visitors."""
    return request.endpoint is not None and request.blueprint not in OUR_BLUEPRINTS
