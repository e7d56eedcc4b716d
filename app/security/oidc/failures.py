"""Why a login at a provider failed: the exceptions, and the meaning of a provider's error codes."""

import logging

log = logging.getLogger("app.security.oidc")


class Failure(Exception):
    """The login at a provider failed."""


class Cancelled(Failure):
    """The user declined at the provider's page."""


class Unavailable(Failure):
    """The provider does not answer, or its answer makes no sense."""


class ProviderProblem(Failure):
    """The provider reports a problem of its own."""


class Misconfigured(Failure):
    """The provider does not accept this application, or its request."""


class Refused(Failure):
    """The provider's answer can't be trusted."""


# RFC 6749, 4.1.2.1 and 5.2; OpenID Connect Core 1.0, 3.1.2.6. Apple and LinkedIn send the `user_` codes.
MEANINGS: dict[str, type[Failure]] = {
    "access_denied": Cancelled,
    "account_selection_required": Cancelled,
    "consent_required": Cancelled,
    "interaction_required": Cancelled,
    "login_required": Cancelled,
    "user_cancelled_authorize": Cancelled,
    "user_cancelled_login": Cancelled,
    "invalid_client": Misconfigured,
    "invalid_redirect_uri": Misconfigured,
    "invalid_request": Misconfigured,
    "invalid_resource": Misconfigured,
    "invalid_scope": Misconfigured,
    "invalid_target": Misconfigured,
    "redirect_uri_mismatch": Misconfigured,
    "registration_not_supported": Misconfigured,
    "request_not_supported": Misconfigured,
    "request_uri_not_supported": Misconfigured,
    "unauthorized_client": Misconfigured,
    "unsupported_grant_type": Misconfigured,
    "unsupported_response_mode": Misconfigured,
    "unsupported_response_type": Misconfigured,
    "invalid_grant": Refused,
}


def from_error(provider: str, error: object, description: object) -> Failure:
    """Log a provider's `error` and `error_description`, and return the Failure that they mean."""
    code = printable(error)
    failure = MEANINGS.get(code, ProviderProblem)
    level = logging.ERROR if failure is Misconfigured else logging.WARNING
    log.log(level, "%s answered with the error %s: %s", provider, code, printable(description))
    return failure(code)


def printable(said: object) -> str:
    """Return the first 200 characters of untrusted text, on one line."""
    text = "" if said is None else str(said)[:200]
    return "".join(character if character.isprintable() else " " for character in text).strip()
