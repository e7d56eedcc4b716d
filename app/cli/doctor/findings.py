"""Shared by the checks of `flask doctor`: kinds of findings, and descriptions of errors."""

import re
import smtplib
import ssl
from urllib.error import URLError

from flask import current_app


class Recommendation(str):
    """A finding that is not a problem."""


class Skipped(Exception):
    """There is nothing to check; the message gives the reason."""


def require(setting: str) -> None:
    """Raise Skipped if a setting is empty."""
    if not current_app.config[setting]:
        raise Skipped(f"{setting} is not set")


def reason(error: BaseException) -> str:
    """Return the root cause of an error in one line."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {said}"
    line = str(error).partition("\n")[0]
    return re.sub(r"^\[.*?\] | \(_ssl.c:\d+\)$", "", line).rstrip(".") or type(error).__name__


def remedy(error: BaseException) -> str:
    """Return the usual remedy for a connection error."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "Its certificate must be for this name and signed by an authority that this machine trusts."
    if isinstance(cause, smtplib.SMTPAuthenticationError):
        return "Are MAIL_USERNAME and MAIL_PASSWORD right?"
    if isinstance(cause, smtplib.SMTPNotSupportedError | ssl.SSLError):
        return "STARTTLS (MAIL_USE_TLS) is usual on port 587, TLS from the start (MAIL_USE_SSL) on 465."
    return "Is the address right, and can this machine reach it?"
