"""The one register of what this application keeps in the Flask session and in `flask.g`.

Nothing else reads `flask.g`, and every key of the session is a SessionKey (tests/test_request_state.py).
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from flask import g, session
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from app.models import UserSession
    from app.security.login_delay import Attempt


class SessionKey(StrEnum):
    """Everything that the session cookie may hold. Applications built on this one add keys of their own elsewhere."""

    # Flask-Login's, Flask's and Flask-WTF's
    USER_ID = "_user_id"  # the id of the UserSession
    IDENTIFIER = "_id"
    FRESH = "_fresh"
    PERMANENT = "_permanent"
    FLASHES = "_flashes"
    CSRF_TOKEN = "csrf_token"  # noqa: S105 - a name
    # Ours
    BROWSER = "browser"  # a random id, to which passkey challenges are bound
    NEXT = "next"  # the page to go on to after an interruption
    NEXT_FOR = "next_for"  # the id of the only user who may be led to it
    FAILED_LOGINS = "failures"  # how many failed here; counted where a CAPTCHA is set up
    EMAIL_SENT_TO = "email_sent_to"  # the address that /auth/email-sent shows
    AUTHENTICATOR = "authenticator"  # the encrypted key of the authenticator app that is being set up
    REMOVED_PASSKEY = "removed_passkey"  # the credential id that the browser is told to forget
    MAGIC_LINK = "magic_link"  # a MagicLinkRequest
    TWO_FACTOR = "two_factor"  # a PendingLogin
    DEVICE_VERIFICATION = "device_verification"  # a PendingLogin
    EXTERNAL_IDENTITY = "external_identity"  # what a provider said, until the user has completed the login
    OAUTH_STATES = "sso"  # the ids of the OAuthStates that this browser waits for


# These survive a login. All other keys of ours are dropped, and those of an application are handed to its signal.
SURVIVES_LOGIN = {SessionKey.EXTERNAL_IDENTITY, SessionKey.OAUTH_STATES}
# A page that a session with these keys alone gets shows nothing about a user, so that a browser may store it.
IMPERSONAL = {
    SessionKey.CSRF_TOKEN,
    SessionKey.BROWSER,
    SessionKey.NEXT,
    SessionKey.NEXT_FOR,
    SessionKey.FAILED_LOGINS,
    SessionKey.FLASHES,
}


class SessionRecord:
    """A dataclass that the session holds as a dictionary."""

    def store(self, key: SessionKey) -> None:
        session[key] = asdict(cast(Any, self))


@dataclass(frozen=True)
class PendingLogin(SessionRecord):
    """A login whose first factor is proved, and which still needs two-factor authentication or a device code."""

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
    """The magic link that this browser asked for: opened here, it logs in without another click."""

    challenge_id: str
    remember: bool


def pending_login(key: SessionKey) -> PendingLogin | None:
    held = session.get(key)
    return PendingLogin(**held) if held else None


def magic_link_request() -> MagicLinkRequest | None:
    held = session.get(SessionKey.MAGIC_LINK)
    return MagicLinkRequest(**held) if held else None


@dataclass
class RequestState:
    """What one request, or one command, remembers until its end."""

    request_id: str = ""
    began_at: float | None = None  # time.perf_counter()
    device_id: str | None = None  # the device cookie's value, or the one that this response sets
    held_back: str | None = None  # the endpoint where the user must go first, on a page where they count as a visitor
    held_session: "UserSession | None" = None  # their session
    said_why_logged_out: bool = False
    needs_proof: bool = False  # the view must use up the proof of both factors
    has_captcha: bool = False  # the page shows the CAPTCHA, and its policy allows the provider's scripts
    is_captcha_solved: bool = False  # a provider answers about one response only once
    attempts: set[Any] | None = None  # what rate limits count, while a limited view runs
    login_attempt: "Attempt | None" = None
    known_devices: dict[str, bool] = field(default_factory=dict)  # by login name: whether the account knows this device


def _request_state() -> RequestState:
    if "request_state" not in g:
        g.request_state = RequestState()
    return cast(RequestState, g.request_state)


state = cast(RequestState, LocalProxy(_request_state))
