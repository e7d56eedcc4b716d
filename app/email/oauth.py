"""Log in to the mail server with an OAuth access token instead of a password (XOAUTH2); see docs/email.md."""

import json
import smtplib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import current_app

from app import clock
from app.email.smtp_answers import decoded
from app.security.remote import within

TIMEOUT = 10  # seconds for the answer of the token endpoint
RENEW_BEFORE = timedelta(minutes=5)  # the token expires
GOOGLE_SCOPE = "https://mail.google.com/"


def is_on() -> bool:
    """Return whether MAIL_OAUTH_* are set."""
    return bool(current_app.config["MAIL_OAUTH_TOKEN_URL"] or current_app.config["MAIL_OAUTH_KEY_FILE"])


def log_in(server: smtplib.SMTP, username: str) -> None:
    """Log in as XOAUTH2 says: an error is a challenge, whose response is empty. Raises smtplib.SMTPException."""
    response = f"user={username}\1auth=Bearer {_token()}\1\1"
    server.ehlo_or_helo_if_needed()
    try:
        server.auth("XOAUTH2", lambda challenge=None: "" if challenge else response)
    except smtplib.SMTPAuthenticationError as error:
        current_app.extensions.pop("mail_token", None)
        raise smtplib.SMTPAuthenticationError(error.smtp_code, f"XOAUTH2 {decoded(error.smtp_error)}") from error


def _token() -> str:
    """Return an access token, which this process asks for again shortly before it expires."""
    from authlib.integrations.base_client import OAuthError  # importing it takes 110 ms

    token, until = current_app.extensions.get("mail_token", ("", clock.now()))
    if clock.now() < until:
        return str(token)
    try:
        answer = within(TIMEOUT, _fetch, current_app.config)
        token, lifetime = str(answer["access_token"]), timedelta(seconds=int(answer.get("expires_in") or 0))
    except OAuthError as error:
        raise smtplib.SMTPException(f"The token endpoint refuses: {error.error}: {error.description}") from error
    except Exception as error:  # Requests and Authlib raise many kinds for a missing or malformed answer
        raise smtplib.SMTPException(f"The token endpoint gives no token: {type(error).__name__}") from error
    current_app.extensions["mail_token"] = token, clock.now() + lifetime - RENEW_BEFORE
    return token


def _fetch(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask with the client's secret, or with an assertion that Google's key signs (RFC 7523). Follow no redirect."""
    from authlib.integrations.requests_client import AssertionSession, OAuth2Session
    from joserfc.jwk import RSAKey

    from app.security.limited_session import limit

    if config["MAIL_OAUTH_KEY_FILE"]:
        key = json.loads(Path(config["MAIL_OAUTH_KEY_FILE"]).read_text())
        said = {"issuer": key["client_email"], "subject": config["MAIL_USERNAME"], "claims": {"scope": GOOGLE_SCOPE}}
        signed = {"key": RSAKey.import_key(key["private_key"]), "header": {"alg": "RS256"}}
        with AssertionSession(key["token_uri"], **said, **signed, default_timeout=TIMEOUT) as session:
            session.max_redirects = 0
            limit(session, TIMEOUT)
            return dict(session.refresh_token())
    client = config["MAIL_OAUTH_CLIENT_ID"], config["MAIL_OAUTH_CLIENT_SECRET"], "client_secret_post"
    with OAuth2Session(*client, scope=config["MAIL_OAUTH_SCOPE"], default_timeout=TIMEOUT) as session:
        session.max_redirects = 0
        limit(session, TIMEOUT)
        return dict(session.fetch_token(config["MAIL_OAUTH_TOKEN_URL"], grant_type="client_credentials"))
