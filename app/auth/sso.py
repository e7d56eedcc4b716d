"""Single sign-on: the pages to start a login at a provider, its callback, and the page for missing details."""

from dataclasses import replace
from typing import Any

from flask import redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app import switches
from app.accounts import sso
from app.auth import access, sso_flow
from app.auth.blueprint import bp
from app.auth.fields import RememberForm
from app.auth.forms import form_page, redirect_elsewhere, with_captcha
from app.auth.registration_forms import CompletionForm
from app.auth.sso_flow import EXPIRED, Arrival, fail, find_provider
from app.connections import released_connection
from app.extensions import db
from app.models import OAuthState, User
from app.request_state import SessionKey
from app.security import audit, oidc, signing
from app.security.rate_limits import rate_limited
from app.web import csrf, language
from app.web.own_urls import safe_next_url
from settings.providers import Provider

MAX_DESTINATION = 512  # characters, since the session cookie may store it
RESPONSE = ("state", "code", "iss", "error", "error_description")  # the parameters of an authorization response
MAX_RESPONSE = 6000  # characters, since they become part of a URL
MAX_PENDING = 5  # unfinished logins of one browser


@bp.route("/sso/<provider>", methods=["GET", "POST"])
@rate_limited("provider_start")
def start_sso(provider: str) -> ResponseReturnValue:
    found = find_provider(provider)
    if current_user.is_authenticated:
        return access.both_factors_required(_start)(found, current_user)
    return _start(found)


@bp.route("/sso/<provider>/callback", methods=["GET", "POST"])
@csrf.open_to_other_sites  # a provider's page may post to it (form_post); the state is its token
@rate_limited("provider_return", methods=["GET", "HEAD", "POST"])
def sso_callback(provider: str) -> ResponseReturnValue:
    found = find_provider(provider)
    if request.method == "POST":
        return _return_by_get(found)
    oauth_state = _use_state(found)
    if oauth_state is None:
        return _unexpected_return(found)
    try:
        identity = sso.from_claims(found, _claims(found, oauth_state))
    except oidc.Failure as failure:
        audit.refused("a login at a provider", provider=provider, why=f"{type(failure).__name__}: {failure}")
        return sso_flow.fail_at_provider(found, failure)
    destination = signing.decrypt("destination", oauth_state.destination or "") or None
    arrival = Arrival(identity, oauth_state.remember, destination)
    if oauth_state.user_id or current_user.is_authenticated:
        return sso_flow.link(found, arrival, oauth_state.user_id)
    if switches.is_on("captcha") and not identity.is_verified:  # the form asks for the address, and shows the CAPTCHA
        arrival = replace(arrival, identity=replace(identity, email=None))
    return sso_flow.log_in(found, arrival)


@bp.route("/sso/<provider>/address", methods=["GET", "POST"])
@rate_limited("availability")
def sso_address(provider: str) -> ResponseReturnValue:
    """Ask for values that the provider did not send: an email address, and an application's own fields."""
    found, form = find_provider(provider), with_captcha(CompletionForm())
    arrival = Arrival.kept(found)
    if not arrival or current_user.is_authenticated or (arrival.identity.email and not form.asks_more()):
        return fail(EXPIRED)
    if arrival.identity.email:
        del form.email
    if form.validate_on_submit():
        if form.email:
            arrival = replace(arrival, identity=replace(arrival.identity, email=form.email.data, is_verified=False))
        return sso_flow.log_in(found, arrival, form.profile())
    return form_page("auth/sso_address.html", form, provider=found)


def _start(provider: Provider, user: User | None = None) -> ResponseReturnValue:
    """Redirect to the provider, if the form was sent; otherwise show it."""
    form = RememberForm()
    if not form.validate_on_submit():
        return form_page("auth/start_sso.html", form, provider=provider)
    destination = safe_next_url(request.args.get("next"))
    destination = None if len(destination or "") > MAX_DESTINATION else destination
    encrypted = signing.encrypt("destination", destination or "")  # it may hold the token of an invitation
    oauth_state = OAuthState.start(provider.name, user.id if user else None, form.remember_me.data, encrypted)
    try:
        url = oidc.authorization_url(provider, oauth_state)
    except oidc.Failure as failure:
        return sso_flow.fail_at_provider(provider, failure)
    session[SessionKey.OAUTH_STATES] = [*session.get(SessionKey.OAUTH_STATES, []), oauth_state.id][-MAX_PENDING:]
    db.session.add(oauth_state)
    language.keep_time_zone()
    if user:
        access.credential_changed()
    db.session.commit()
    return redirect_elsewhere(provider.label, url)


def _return_by_get(provider: Provider) -> ResponseReturnValue:
    """Redirect to the same response by GET, since browsers send no session cookie with another site's form."""
    response: dict[str, Any] = {name: request.form[name] for name in RESPONSE if name in request.form}
    if sum(map(len, response.values())) > MAX_RESPONSE:
        response = {}
    return redirect(url_for("auth.sso_callback", provider=provider.name, **response))


def _use_state(provider: Provider) -> OAuthState | None:
    """Use the state of a login that this browser started; return None if it is invalid, expired or already used."""
    state, pending = request.args.get("state"), session.get(SessionKey.OAUTH_STATES, [])
    issuer = request.args.get("iss", provider.issuer)  # RFC 9207
    is_issuers = issuer.rstrip("/") == provider.issuer.rstrip("/") or "{" in provider.issuer
    if state not in pending or not is_issuers or not access.is_opened_by_user():
        return None
    session[SessionKey.OAUTH_STATES] = [other for other in pending if other != state]
    oauth_state = db.session.get(OAuthState, state)
    if not oauth_state or oauth_state.provider != provider.name or not oauth_state.use():
        return None
    db.session.expunge(oauth_state)  # so that no database connection is held during the request to the provider
    db.session.commit()
    return oauth_state


def _unexpected_return(provider: Provider) -> ResponseReturnValue:
    """Refuse a response that this browser does not expect, unless it has just logged in with the same one."""
    oauth_state = db.session.get(OAuthState, request.args.get("state", "")[:43].replace("\0", ""))
    if current_user.is_authenticated and oauth_state and oauth_state.returned_at:
        return redirect(url_for("main.index"))
    audit.refused("an unexpected response of a provider", provider=provider.name)
    return fail(_("This login took too long, or was started in another browser. Try again."))


def _claims(provider: Provider, oauth_state: OAuthState) -> oidc.Claims:
    """Return the provider's claims about the user; raise oidc.Failure."""
    if "error" in request.args:
        raise oidc.from_error(provider.name, request.args["error"], request.args.get("error_description"))
    if not request.args.get("code"):
        raise oidc.Refused("no code")
    claims, access_token = oidc.redeem(provider, oauth_state, request.args["code"], request.args.get("iss"))
    if not sso.lacks_profile(provider, claims):
        return claims
    with released_connection():
        return oidc.complete(provider, claims, access_token)
