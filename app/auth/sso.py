# mypy: ignore-errors
"""Logging in with an account elsewhere, and which of them are linked."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from flask import abort, current_app, flash, make_response, redirect, render_template, request, session, url_for
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from wtforms import BooleanField

from app import clock
from app.accounts import registration, sso
from app.accounts.sso import ExternalIdentity, Linked, Outcome
from app.auth import access, login_flow, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page, form_page, with_captcha
from app.auth.registration_forms import CompletionForm
from app.database import is_duplicate
from app.extensions import connection_given_back, db
from app.models import OAuthState
from app.models.logins import email_key
from app.request_state import SessionKey
from app.security import audit, captcha, oidc
from app.security.rate_limits import rate_limited
from app.web import csrf

LONGEST_DESTINATION = 512  # characters: it may have to stand in a cookie
LONGEST_ANSWER = 6000  # characters: it has to stand in an address
ANSWER = ("state", "code", "iss", "error", "error_description")  # what a provider's form may say
MOST_PENDING = 5  # logins that one browser has begun and not finished: the newest ones
WAITS = timedelta(minutes=15)  # what a provider said, for the person to do what is missing


class StartForm(Form):
    remember_me = BooleanField("Keep me logged in")


@bp.route("/sso/<provider>", methods=["GET", "POST"])
@rate_limited("provider_start")
def start_sso(provider):
    provider = _provider(provider)
    return _start_to_link(provider) if current_user.is_authenticated else _start(provider)


@bp.route("/sso/<provider>/callback", methods=["GET", "POST"])
@csrf.open_to_other_sites  # a provider's page may post to it (form_post); the state is its token
@rate_limited("provider_return", methods=["GET", "HEAD", "POST"])
def sso_callback(provider):
    provider = _provider(provider)
    if request.method == "POST":
        return _come_by_get(provider)
    oauth_state = _come_back(provider)
    if oauth_state is None:
        return _not_waited_for(provider)
    try:
        claims = _claims(provider, oauth_state)
    except oidc.Failure as failure:
        audit.refused("a login at a provider", provider=provider.name, why=f"{type(failure).__name__}: {failure}")
        return _failed(FAILURES[type(failure)].format(provider.label))
    external_identity = sso.understand(provider, claims)
    if oauth_state.user_id or current_user.is_authenticated:
        return _link_current(provider, external_identity, oauth_state.user_id, to=oauth_state.destination)
    if captcha.is_on() and not external_identity.is_proved:
        external_identity = replace(external_identity, email=None)  # the form asks for it, and whether this is a person
    return _enter(provider, external_identity, oauth_state.remember, oauth_state.destination)


@bp.route("/sso/<provider>/address", methods=["GET", "POST"])
@rate_limited("availability")
def sso_address(provider):
    """Ask a user for what the provider does not say: an address, and an application's own fields."""
    provider, form = _provider(provider), with_captcha(CompletionForm())
    waiting = _waiting(provider)
    if not waiting or current_user.is_authenticated or not (form.asks_more() or not waiting["external_identity"].email):
        return _failed(BEGIN_AGAIN)
    external_identity = waiting["external_identity"]
    if external_identity.email:
        del form.email
    if form.validate_on_submit():
        if form.email:
            external_identity = replace(external_identity, email=form.email.data, is_proved=False)
        return _enter(provider, external_identity, waiting["remember"], waiting["destination"], form.profile())
    return form_page("auth/sso_address.html", form, provider=provider)


@bp.route("/sso/<provider>/link", methods=["GET", "POST"])
def link_sso(provider):
    """Have the owner of the account with this address log in to it before the two are linked."""
    provider = _provider(provider)
    waiting = _waiting(provider)
    if not waiting or not waiting["external_identity"].email:
        return _failed(BEGIN_AGAIN)
    if current_user.is_authenticated:
        return _link_waiting(provider, waiting)
    here = url_for("auth.link_sso", provider=provider.name)
    return render_template(
        "auth/sso_taken.html", provider=provider, email=waiting["external_identity"].email, here=here
    )


@bp.route("/connections")
@access.reauthentication_required
def connections():
    identities, providers = sso.all_of(current_user), current_app.config["OIDC_PROVIDERS"]
    context = {"providers": providers, "can_unlink": sso.can_unlink(current_user)}
    return render_template("auth/connections.html", identities=identities, **context)


@bp.route("/connections/<int(max=2147483647):number>/unlink", methods=["GET", "POST"])
@access.both_factors_required
def unlink(number):
    if number not in {identity.id for identity in sso.all_of(current_user)}:
        abort(404)
    if not Form().validate_on_submit():
        return confirmation_page("auth.connections", **UNLINK)
    if sso.unlink(current_user, number, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("It can no longer log you in here. Your other devices were logged out.", "success")
    else:
        db.session.rollback()
        flash("It is your only way in. Choose a password first.", "warning")
    return redirect(url_for("auth.connections"))


FAILURES = {
    oidc.Cancelled: "You did not log in with {}. Try again, or log in another way.",
    oidc.Unavailable: "{} does not answer just now. Try again in a minute, or log in another way.",
    oidc.Troubled: "{} has a problem just now. Try again in a few minutes, or log in another way.",
    oidc.Misconfigured: "Logging in with {} is not set up correctly on this site. Log in another way.",
    oidc.Refused: "Logging in with {} did not work. Try again, or log in another way.",
}
NOT_LINKED = {
    Linked.ANOTHERS: "That {} account is linked with another account here.",
    Linked.TOO_MANY: f"An account can have {sso.MOST} linked accounts. Remove one before you link another.",
}
BEGIN_AGAIN = "That took too long. Try again."
UNLINK = {
    "title": "Remove this linked account?",
    "words": "It can no longer log you in here. Your other devices are logged out.",
    "button": "Remove it",
}


def _provider(name):
    return current_app.config["OIDC_PROVIDERS"].get(name) or abort(404)


def _start(provider, user=None):
    """Lead to the provider's page; by a page of our own, since no form may lead to another site."""
    form = StartForm()
    if not form.validate_on_submit():
        return form_page("auth/start_sso.html", form, provider=provider)
    going = next_url.safe_next_url(request.args.get("next")) or ""
    destination = going if len(going) <= LONGEST_DESTINATION else None
    oauth_state = OAuthState.begin(provider.name, user and user.id, form.remember_me.data, destination)
    try:
        url = oidc.authorization_url(provider, oauth_state)
    except oidc.Failure as failure:
        return _failed(FAILURES[type(failure)].format(provider.label))
    session[SessionKey.OAUTH_STATES] = [*_pending(), oauth_state.id][-MOST_PENDING:]
    db.session.add(oauth_state)
    if user:
        access.credential_changed()
    db.session.commit()
    page = make_response(render_template("auth/going.html", provider=provider, url=url))
    page.headers["Refresh"], page.headers["Cache-Control"] = f"0; url={url}", "no-store"
    return page


@access.both_factors_required
def _start_to_link(provider):
    return _start(provider, current_user)


def _come_by_get(provider):
    """Have the browser come again by GET: with a form that another site posts, it sends no session cookie."""
    answer = {name: request.form[name] for name in ANSWER if name in request.form}
    if sum(map(len, answer.values())) > LONGEST_ANSWER:
        answer = {}
    return redirect(url_for("auth.sso_callback", provider=provider.name, **answer))


def _pending():
    """Return the states of the logins that this browser began and has not finished."""
    pending = session.get(SessionKey.OAUTH_STATES) or []
    return [pending] if isinstance(pending, str) else pending


def _come_back(provider):
    """Return the oauth_state that this browser set out on, if this is its first return, and in time."""
    state, issuer = request.args.get("state"), request.args.get("iss", provider.issuer)
    if state not in _pending() or not access.is_opened_by_user():
        return None
    if issuer.rstrip("/") != provider.issuer.rstrip("/") and "{" not in provider.issuer:
        return None  # RFC 9207: another one's answer
    session[SessionKey.OAUTH_STATES] = [other for other in _pending() if other != state]
    oauth_state = db.session.get(OAuthState, state)
    if not oauth_state or oauth_state.provider != provider.name or not oauth_state.come_back():
        return None
    db.session.expunge(oauth_state)  # nothing is held open while the provider is asked
    db.session.commit()
    return oauth_state


def _not_waited_for(provider):
    """Answer a return that this browser does not wait for. If it is logged in since the first one, all is well."""
    oauth_state = db.session.get(OAuthState, request.args.get("state", "")[:43].replace("\0", ""))
    if current_user.is_authenticated and oauth_state and oauth_state.returned_at:
        return redirect(url_for("main.index"))
    audit.refused("a return that nobody waits for", provider=provider.name)
    return _failed("That took too long, or was begun in another browser. Try again.")


def _claims(provider, oauth_state):
    """Return what the provider says about a user. Raises oidc.Failure."""
    if "error" in request.args:
        raise oidc.from_error(provider.name, request.args["error"], request.args.get("error_description"))
    if not request.args.get("code"):
        raise oidc.Refused("no code")
    claims, access_token = oidc.redeem(provider, oauth_state, request.args["code"], request.args.get("iss"))
    if not sso.lacks_profile(provider, claims):
        return claims
    with connection_given_back():
        return oidc.complete(provider, claims, access_token)


def _enter(provider, external_identity, remember, destination, profile=None):
    """Log in with an external identity, or lead to what is missing."""
    if not CompletionForm().asks_more():
        profile = {}
    outcome, user = _retried(lambda: sso.account_for(external_identity, profile))
    if user:
        session.pop(SessionKey.EXTERNAL_IDENTITY, None)
        method, (to, words) = f"sso:{provider.name}", _welcome(outcome, user)
        excused = not provider.two_factor
        return login_flow.complete_login(
            user, method, remember, to=to or destination, message=words, is_both_factors=excused
        )
    if outcome is Outcome.CLOSED:
        return _failed(f"Nobody here is linked with that {provider.label} account, and registration is closed.")
    if outcome is Outcome.NOT_VERIFIED:
        return _failed(f"{provider.label} does not say that your address is yours. Register here, then link the two.")
    kept = {"remember": remember, "destination": destination, "at": clock.now().timestamp()}
    session[SessionKey.EXTERNAL_IDENTITY] = asdict(external_identity) | kept
    page = "auth.link_sso" if outcome is Outcome.TAKEN else "auth.sso_address"
    return redirect(url_for(page, provider=provider.name))


def _retried(service):
    for _ in range(3):
        try:
            return service()
        except (registration.Taken, IntegrityError) as error:  # somebody was faster
            db.session.rollback()
            if isinstance(error, IntegrityError) and not is_duplicate(error):
                raise
    return abort(503)


def _welcome(outcome, user):
    """Where a person goes first, and what they are told."""
    if outcome is Outcome.EMAIL_OWNERSHIP:
        words = "Your address is confirmed. Whoever else was logged in is out, and the old password is gone."
        return url_for("auth.change_username"), words
    if outcome is Outcome.CREATED and user.confirmed:
        return None, f"Welcome. You are called {user.username} here; you can change that on your account."
    if outcome is Outcome.CREATED:
        return None, f"Welcome, {user.username}. An email is on its way to {user.email}."
    return None, None


def _waiting(provider):
    """Return what a provider said in this browser a while ago, for the person to do what is missing."""
    said = dict(session.get(SessionKey.EXTERNAL_IDENTITY) or {})
    kept = {name: said.pop(name, None) for name in ("remember", "destination", "at")}
    if said.get("provider") != provider.name:
        return None
    if not clock.is_within(datetime.fromtimestamp(kept["at"], UTC), WAITS):
        return None
    return kept | {"external_identity": ExternalIdentity(**said)}


@access.both_factors_required
def _link_waiting(provider, waiting):
    external_identity = waiting["external_identity"]
    if not external_identity.email or email_key(external_identity.email) != current_user.email_key:
        session.pop(SessionKey.EXTERNAL_IDENTITY)
        return _failed(
            f"That {provider.label} account has another address than this account. Link it here if it is yours."
        )
    if not Form().validate_on_submit():
        return render_template("auth/link_sso.html", provider=provider, email=external_identity.email)
    session.pop(SessionKey.EXTERNAL_IDENTITY)
    return _link_current(provider, external_identity, current_user.id, to=waiting["destination"])


def _link_current(provider, external_identity, user_id, to=None):
    """Link an account elsewhere to the one that is logged in here, if that is who wanted it."""
    if current_user.is_authenticated and user_id is None and sso.logs_in_to(current_user, external_identity):
        return redirect(to or url_for("main.index"))  # another tab was faster
    if not current_user.is_authenticated or current_user.id != user_id:
        return _failed("You are logged in here already, or another person began that. Try again.")
    linked = _retried(lambda: sso.link(current_user, external_identity))
    if linked is not Linked.DONE:
        db.session.rollback()
        return _failed(NOT_LINKED[linked].format(provider.label))
    access.credential_changed()
    db.session.commit()
    flash(f"{provider.label} is linked: it logs you in from now on.", "success")
    return redirect(to or url_for("auth.connections"))


def _failed(words):
    """Say what happened where the person can go on."""
    flash(words, "warning")
    return redirect(url_for("auth.connections" if current_user.is_authenticated else "auth.login"))
