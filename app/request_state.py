"""The register of everything that this application stores in the Flask session and in `flask.g`.

No other module uses `flask.g`, and every key of the session is a SessionKey (tests/test_request_state.py).
"""

import secrets
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

from flask import Request, g, request, session
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from app.models import UserSession
    from app.security.login_delay import Attempt


class SessionKey(StrEnum):
    """The keys of the session cookie. Applications built on this one define their own keys elsewhere."""

    # Flask-Login's, Flask's and Flask-WTF's
    USER_ID = "_user_id"  # the id of the UserSession
    IDENTIFIER = "_id"
    FRESH = "_fresh"
    PERMANENT = "_permanent"
    FLASHES = "_flashes"
    CSRF_TOKEN = "csrf_token"  # noqa: S105 - a name
    # Ours
    BROWSER = "browser"  # a random id, to which passkey challenges are bound
    NEXT = "next"  # the page to open after an interruption, such as a login
    NEXT_FOR = "next_for"  # the id of the only user who may be redirected to that page
    FAILED_LOGINS = "failures"  # the number of failed logins; only with a CAPTCHA
    EMAIL_SENT_TO = "email_sent_to"  # the address that /auth/email-sent shows, and the login page fills in
    AUTHENTICATOR = "authenticator"  # the encrypted key of the authenticator app that is being set up
    PASSKEY_OFFER = "passkey_offer"  # the next page offers a passkey
    REMOVED_PASSKEY = "removed_passkey"  # the credential id that the browser should forget
    MAGIC_LINK = "magic_link"  # a MagicLinkRequest
    TWO_FACTOR = "two_factor"  # a PendingLogin
    DEVICE_VERIFICATION = "device_verification"  # a PendingLogin
    TIME_ZONE = "time_zone"  # of the browser, until the login is complete
    EXTERNAL_IDENTITY = "external_identity"  # the claims of a provider, until the user has completed the login
    OAUTH_STATES = "sso"  # the ids of this browser's OAuthStates


# These survive a login. Our other keys are dropped, and an application's own keys are passed to its signal.
SURVIVES_LOGIN = {SessionKey.EXTERNAL_IDENTITY, SessionKey.OAUTH_STATES}
# Browsers may store the pages for a session that has only these keys, because they show nothing about a user.
IMPERSONAL = {
    *(SessionKey.CSRF_TOKEN, SessionKey.BROWSER, SessionKey.NEXT, SessionKey.NEXT_FOR, SessionKey.FAILED_LOGINS),
    SessionKey.FLASHES,
    SessionKey.TIME_ZONE,
}


class SessionRecord:
    """A dataclass that the session stores as a dictionary."""

    def store(self, key: SessionKey) -> None:
        session[key] = asdict(cast(Any, self))

    @classmethod
    def load(cls, key: SessionKey) -> Self | None:
        """Return the stored record; None if there is none, or if another release stored it with other fields."""
        held = session.get(key)
        with suppress(TypeError):
            return cls(**held) if held else None
        return None


@dataclass(frozen=True)
class PendingLogin(SessionRecord):
    """A login that still needs two-factor authentication or a device code after the first factor."""

    user_id: int
    password_version: int
    proved_at: float  # POSIX timestamp
    method: str
    remember: bool
    next_url: str
    message: str | None  # flashed after the login
    challenge_id: str | None = None  # the EmailChallenge whose code verifies the device


@dataclass(frozen=True)
class MagicLinkRequest(SessionRecord):
    """The magic link that this browser requested, and which logs in without another click here."""

    challenge_id: str
    remember: bool


def current_request() -> Request:
    """Return the request itself, for a function that reads it often: each use of Flask's proxy looks it up."""
    return cast(Request, cast(Any, request)._get_current_object())


def need_no_token() -> None:
    """Let the forms of Flask-WTF accept this request without a token, as after Flask-WTF's own check."""
    g.csrf_valid = True


def new_id() -> str:
    """Return an id for the log: of a request, a command, the delivery of an email, or the run of a job."""
    return secrets.token_hex(8)


@dataclass
class RequestState:
    """The state of one request or one command."""

    request_id: str = field(default_factory=new_id)
    user_id: int | None = None  # the logged-in user, for the log
    is_user_loaded: bool = False  # of the account, or that the visitor has none
    reason: str = ""  # why the request was refused, for the log
    began_at: float | None = None  # time.perf_counter()
    device_id: str | None = None  # the device cookie's value, or the one that this response sets
    held_back: str | None = None  # the endpoint that the user has to open first; until then they are a visitor here
    held_session: "UserSession | None" = None  # that user's session
    said_why_logged_out: bool = False
    needs_both_factors: bool = False  # the view has to consume the proof of both factors
    varies_by_fetch_site: bool = False  # the page has a form, and whether it has a token depends on the browser
    has_recaptcha: bool = False  # the page shows it, so its policy allows the provider's scripts
    is_captcha_solved: bool = False  # kept, because a response is accepted only once
    attempts: set[Any] | None = None  # the actions and attempts that rate limits count, while a limited view runs
    login_attempt: "Attempt | None" = None
    until_teardown: ExitStack = field(default_factory=ExitStack)  # what ends with an administrator's request
    known_devices: dict[str, bool] = field(default_factory=dict)  # whether the account knows this device, by login name
    blocked: dict[str, bool] = field(default_factory=dict)  # whether an email or IP address is blocked


def current_state() -> RequestState:
    try:
        found: RequestState = g.request_state
    except AttributeError:
        found = g.request_state = RequestState()
    return found


state = cast(RequestState, LocalProxy(current_state))
