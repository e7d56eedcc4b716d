"""Connected accounts: the pages to list, link and unlink identities at login providers."""

from flask import abort, current_app, flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import credentials, sso
from app.auth import access, sso_flow
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page
from app.auth.sso_flow import Arrival
from app.extensions import db
from app.models.logins import email_key
from app.request_state import SessionKey
from settings.providers import Provider


@bp.route("/connections")
@access.reauthentication_required
def connections() -> ResponseReturnValue:
    return render_template(
        "auth/connections.html",
        identities=sso.all_of(current_user),
        providers=current_app.config["OIDC_PROVIDERS"],
        can_unlink=credentials.has_another_login(current_user),
    )


@bp.route("/connections/<int:number>/unlink", methods=["GET", "POST"])
@access.both_factors_required
def unlink(number: int) -> ResponseReturnValue:
    identity = next((identity for identity in sso.all_of(current_user) if identity.id == number), None) or abort(404)
    label = sso.label(identity.provider)
    if not Form().validate_on_submit():
        title = _("Disconnect %(provider)s?", provider=label)
        return confirmation_page("auth.connections", title, _consequences(label, identity.email), _("Disconnect"))
    if sso.unlink(current_user, number, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash(_("%(provider)s was disconnected. Your other devices were logged out.", provider=label), "success")
    else:
        db.session.rollback()
        flash(_("This is your only way to log in. Add another one before you disconnect it."), "warning")
    return redirect(url_for("auth.connections"))


def _consequences(provider: str, email: str | None) -> str:
    if email:
        return _(
            "You'll no longer be able to log in with the %(provider)s account %(email)s. "
            "Your other devices will be logged out.",
            provider=provider,
            email=email,
        )
    return _(
        "You'll no longer be able to log in with the %(provider)s account. Your other devices will be logged out.",
        provider=provider,
    )


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
            _(
                "That %(provider)s account has a different email address. If it's yours, connect it here.",
                provider=provider.label,
            )
        )
    if not Form().validate_on_submit():
        return render_template("auth/link_sso.html", provider=provider, email=email)
    session.pop(SessionKey.EXTERNAL_IDENTITY)
    return sso_flow.link(provider, arrival, current_user.id)
