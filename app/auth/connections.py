"""Linked identities: the pages to list, link and unlink them."""

from flask import abort, current_app, flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import sso
from app.auth import access, sso_flow
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page
from app.auth.sso_flow import Arrival
from app.extensions import db
from app.models.logins import email_key
from app.request_state import SessionKey
from settings.providers import Provider

UNLINK = {
    "title": "Remove this linked account?",
    "words": "You can no longer log in with it. Your other devices are logged out.",
    "button": "Remove it",
}


@bp.route("/connections")
@access.reauthentication_required
def connections() -> ResponseReturnValue:
    return render_template(
        "auth/connections.html",
        identities=sso.all_of(current_user),
        providers=current_app.config["OIDC_PROVIDERS"],
        can_unlink=sso.can_unlink(current_user),
    )


@bp.route("/connections/<int(max=2147483647):number>/unlink", methods=["GET", "POST"])
@access.both_factors_required
def unlink(number: int) -> ResponseReturnValue:
    if number not in {identity.id for identity in sso.all_of(current_user)}:
        abort(404)
    if not Form().validate_on_submit():
        return confirmation_page("auth.connections", **UNLINK)
    if sso.unlink(current_user, number, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("You can no longer log in with it. Your other devices were logged out.", "success")
    else:
        db.session.rollback()
        flash("This is your only way to log in. Choose a password first.", "warning")
    return redirect(url_for("auth.connections"))


@bp.route("/sso/<provider>/link", methods=["GET", "POST"])
def link_sso(provider: str) -> ResponseReturnValue:
    """Link an identity to the account with its email address, after the user has logged in to that account."""
    found = sso_flow.find_provider(provider)
    arrival = Arrival.kept(found)
    if not arrival or not arrival.identity.email:
        return sso_flow.fail(sso_flow.EXPIRED)
    if current_user.is_authenticated:
        return _link(found, arrival)
    here = url_for("auth.link_sso", provider=provider)
    return render_template("auth/sso_taken.html", provider=found, email=arrival.identity.email, here=here)


@access.both_factors_required
def _link(provider: Provider, arrival: Arrival) -> ResponseReturnValue:
    email = arrival.identity.email
    if email is None or email_key(email) != current_user.email_key:
        session.pop(SessionKey.EXTERNAL_IDENTITY)
        return sso_flow.fail(
            f"That {provider.label} account has a different email address. If it is yours, link it on this page."
        )
    if not Form().validate_on_submit():
        return render_template("auth/link_sso.html", provider=provider, email=email)
    session.pop(SessionKey.EXTERNAL_IDENTITY)
    return sso_flow.link(provider, arrival, current_user.id)
