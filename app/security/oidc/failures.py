"""The exceptions for a failed login at a provider, and the error codes that cause them."""

import logging
import re

ADDRESS = re.compile(r"[^\s'\"<(]*(@|%40)[^\s'\">)]*")

log = logging.getLogger("app.security.oidc")


class Failure(Exception):
    """The login at a provider failed."""


class Cancelled(Failure):
    """The user declined on the provider's page."""


class Unavailable(Failure):
    """The provider does not answer, or its answer is malformed."""


class ProviderProblem(Failure):
    """The provider reports a problem of its own."""


class Misconfigured(Failure):
    """The provider does not accept this application or its request."""


class Refused(Failure):
    """The provider's answer can't be trusted."""


# RFC 6749, 4.1.2.1 and 5.2; OpenID Connect Core 1.0, 3.1.2.6. Apple and LinkedIn send the `user_` codes.
ERRORS: dict[type[Failure], set[str]] = {
    Cancelled: {
        *("access_denied", "account_selection_required", "consent_required", "interaction_required"),
        *("login_required", "user_cancelled_authorize", "user_cancelled_login"),
    },
    Misconfigured: {
        *("invalid_client", "invalid_redirect_uri", "invalid_request", "invalid_resource", "invalid_scope"),
        *("invalid_target", "redirect_uri_mismatch", "registration_not_supported", "request_not_supported"),
        *("request_uri_not_supported", "unauthorized_client", "unsupported_grant_type"),
        *("unsupported_response_mode", "unsupported_response_type"),
    },
    Refused: {"invalid_grant"},
}


def from_error(provider: str, error: object, description: object) -> Failure:
    """Log a provider's `error` and `error_description`, and return the matching Failure."""
    code = printable(error)
    failure = next((kind for kind, codes in ERRORS.items() if code in codes), ProviderProblem)
    level = logging.ERROR if failure is Misconfigured else logging.WARNING
    log.log(level, "%s answered with the error %s: %s", provider, code, printable(description))
    return failure(code)


def printable(said: object) -> str:
    """Return the first 200 characters of untrusted text in one line, without email addresses."""
    text = "" if said is None else ADDRESS.sub("<address>", str(said)[:400])[:200]
    return "".join(character if character.isprintable() else " " for character in text).strip()
