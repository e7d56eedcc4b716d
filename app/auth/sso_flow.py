"""The single sign-on flow: log in with an external identity, or link it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from flask import abort, current_app, flash, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from sqlalchemy.exc import IntegrityError

from app import clock
from app.accounts import registration, sso
from app.accounts.sso import ExternalIdentity, LinkOutcome, Outcome
from app.auth import access, login_flow
from app.auth.registration_forms import CompletionForm
from app.database import is_duplicate
from app.extensions import db
from app.models import Invitation, User
from app.request_state import SessionKey, SessionRecord
from app.security import oidc
from app.switches import is_on
from app.web.language import of_visitor
from settings.providers import Provider

WAIT = timedelta(minutes=15)  # to enter missing details, or to log in
# What a visitor reads, who can log in another way, and what a user reads who connects an account.
FAILURES = {
    oidc.Cancelled: (
        _l("You didn't finish logging in with %(provider)s. Try again, or log in another way."),
        _l("You didn't finish logging in with %(provider)s. Try again."),
    ),
    oidc.Unavailable: (
        _l("%(provider)s isn't responding. Try again in a minute, or log in another way."),
        _l("%(provider)s isn't responding. Try again in a minute."),
    ),
    oidc.ProviderProblem: (
        _l("%(provider)s is having a problem. Try again in a few minutes, or log in another way."),
        _l("%(provider)s is having a problem. Try again in a few minutes."),
    ),
    oidc.Misconfigured: (
        _l("Logging in with %(provider)s isn't set up correctly on this site. Log in another way."),
        _l("Logging in with %(provider)s isn't set up correctly on this site. Log in another way."),
    ),
    oidc.Refused: (
        _l("Logging in with %(provider)s didn't work. Try again, or log in another way."),
        _l("Logging in with %(provider)s didn't work. Try again."),
    ),
}

EXPIRED = _l("That took too long. Try again.")
NOT_LINKED = {
    LinkOutcome.OTHER_ACCOUNT: _l("That %(provider)s account is already connected to another account here."),
    LinkOutcome.TOO_MANY: _l("You can connect %(number)d accounts at most. Disconnect one first."),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Arrival(SessionRecord):
    """An external identity from a provider, and the page that the user requested."""

    identity: ExternalIdentity
    remember: bool = False
    destination: str | None = None
    at: float = 0  # POSIX timestamp of keep()

    def keep(self) -> None:
        """Store this in the session until the user has entered the missing details."""
        replace(self, at=clock.now().timestamp()).store(SessionKey.EXTERNAL_IDENTITY)

    @classmethod
    def kept(cls, provider: Provider) -> "Arrival | None":
        """Return the stored arrival from this provider, unless it has expired."""
        held = cls.load(SessionKey.EXTERNAL_IDENTITY)
        if not held or not clock.is_within(datetime.fromtimestamp(held.at, UTC), WAIT):
            return None
        with suppress(TypeError):  # another release stored it
            arrival = replace(held, identity=ExternalIdentity(**cast("dict[str, Any]", held.identity)))
            return arrival if arrival.identity.provider == provider.name else None
        return None


def find_provider(name: str) -> Provider:
    """Return the provider with this name, or answer 404."""
    provider: Provider | None = current_app.config["OIDC_PROVIDERS"].get(name)
    return provider or abort(404)


def log_in(provider: Provider, arrival: Arrival, profile: dict[str, Any] | None = None) -> ResponseReturnValue:
    """Log in with an external identity, or redirect to the page that asks for missing details."""
    if profile is None and not CompletionForm().asks_more():
        profile = {}
    profile = None if profile is None else of_visitor() | profile
    invitation = _invitation(arrival.destination)
    outcome, user = retry(lambda: sso.account_for(arrival.identity, profile, invitation))
    if user:
        session.pop(SessionKey.EXTERNAL_IDENTITY, None)
        to, message = _welcome(outcome, user)
        return login_flow.complete_login(
            user,
            f"sso:{provider.name}",
            arrival.remember,
            to=to or arrival.destination,
            message=message,
            is_both_factors=not provider.two_factor,
        )
    return _ask_for_more(provider, arrival, outcome)


def link(provider: Provider, arrival: Arrival, user_id: int | None) -> ResponseReturnValue:
    """Link an external identity to the current user, who must be the user that requested it."""
    if current_user.is_authenticated and user_id is None and sso.is_linked(current_user, arrival.identity):
        return redirect(arrival.destination or url_for("main.index"))  # another tab was faster
    if not current_user.is_authenticated or current_user.id != user_id:
        return fail(_("You're already logged in, or someone else started this login. Try again."))
    outcome = retry(lambda: sso.link(current_user, arrival.identity))
    if outcome is not LinkOutcome.LINKED:
        db.session.rollback()
        return fail(NOT_LINKED[outcome] % {"provider": provider.label, "number": sso.MAX_IDENTITIES})
    access.credential_changed()
    db.session.commit()
    flash(_("%(provider)s is now connected. You can log in with it.", provider=provider.label), "success")
    return redirect(arrival.destination or url_for("auth.connections"))


def fail(words: str) -> ResponseReturnValue:
    """Flash a message, and redirect to the connected accounts or the login page."""
    flash(str(words), "warning")
    return redirect(url_for("auth.connections" if current_user.is_authenticated else "auth.login"))


def fail_at_provider(provider: Provider, failure: oidc.Failure) -> ResponseReturnValue:
    """Explain why a login at a provider failed. Users who connect an account have no other way."""
    has_others = is_on("registration") and not current_user.is_authenticated
    to_visitor, to_user = FAILURES[type(failure)]
    return fail((to_visitor if has_others else to_user) % {"provider": provider.label})


def retry(service: Callable[[], T]) -> T:
    """Call a service, and call it again if another request was faster."""
    for _attempt in range(3):
        try:
            return service()
        except (registration.Taken, IntegrityError) as error:
            db.session.rollback()
            if isinstance(error, IntegrityError) and not is_duplicate(error):
                raise
    return abort(503)


def _invitation(destination: str | None) -> Invitation | None:
    """Return the valid invitation whose page the login was started from."""
    page, token = (destination or "").rpartition("/")[::2]
    is_invitation = page and f"{page}/{token}" == url_for("auth.accept_invitation", token=token)
    invitation = Invitation.of_token(token) if is_invitation else None
    return invitation if invitation and invitation.is_valid else None


def _welcome(outcome: Outcome, user: User) -> tuple[str | None, str | None]:
    """Return the page to open instead of the requested one, if any, and a message."""
    if outcome is Outcome.EMAIL_OWNERSHIP:
        words = _("Your email address is confirmed. What was set up before, such as other logins, was removed.")
        return url_for("auth.change_username") if is_on("username") else None, words
    if outcome is not Outcome.CREATED:
        return None, None
    if not is_on("username"):
        return None, _("Welcome.")
    if user.can_use_application:
        return None, _(
            "Welcome. Your username is %(username)s. You can change it in your settings.", username=user.username
        )
    return None, _("Welcome, %(username)s.", username=user.username)


def _ask_for_more(provider: Provider, arrival: Arrival, outcome: Outcome) -> ResponseReturnValue:
    """Redirect to the page that asks for missing details, or explain why the login is refused."""
    if outcome is Outcome.CLOSED:
        return fail(
            _(
                "That %(provider)s account isn't connected to an account here, and registration is closed.",
                provider=provider.label,
            )
        )
    if outcome is Outcome.OTHER_EMAIL:
        flash(
            _("That %(provider)s account doesn't have the email address that was invited.", provider=provider.label),
            "warning",
        )
        return redirect(arrival.destination or url_for("auth.login"))
    if outcome is Outcome.BLOCKED:
        return fail(_("The email address of that %(provider)s account can't be used here.", provider=provider.label))
    if outcome is Outcome.NOT_VERIFIED:
        return fail(_not_verified(provider))
    arrival.keep()
    page = "auth.link_sso" if outcome is Outcome.TAKEN else "auth.sso_address"
    return redirect(url_for(page, provider=provider.name))


def _not_verified(provider: Provider) -> str:
    if not is_on("registration"):
        return _("%(provider)s hasn't verified your email address. Verify it there first.", provider=provider.label)
    return _(
        "%(provider)s hasn't verified your email address. Create an account, then connect it in your settings.",
        provider=provider.label,
    )
