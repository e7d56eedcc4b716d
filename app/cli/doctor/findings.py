"""Shared by the checks of `flask doctor`: kinds of findings, and descriptions of errors."""

import re
import ssl
from urllib.error import URLError

from flask import current_app

from app.email.smtp_answers import answer_of


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
    code, answer = answer_of(error)
    if code:
        return answer
    line = str(error).partition("\n")[0]
    return re.sub(r"^\[.*?\] | \(_ssl.c:\d+\)$", "", line).rstrip(".") or type(error).__name__


def remedy(error: BaseException) -> str:
    """Return the usual remedy for a connection error."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "Its certificate must be for this name and signed by an authority that this machine trusts."
    return "Is the address right, and can this machine reach it?"
