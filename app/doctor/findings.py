"""Findings of the checks, and descriptions of errors."""

import re
import ssl
from dataclasses import dataclass
from enum import StrEnum
from urllib.error import URLError

from flask import current_app

from app.email.smtp_answers import answer_of, explain
from settings.environment import cause_and_remedy


class Severity(StrEnum):
    PROBLEM = "problem"
    RECOMMENDATION = "recommendation"
    SKIPPED = "skipped"  # there was nothing to check; the cause says why


@dataclass(frozen=True)
class Finding:
    """What a check found: a cause and its remedy, in a sentence or two each."""

    cause: str
    remedy: str = ""
    severity: Severity = Severity.PROBLEM
    check: str = ""  # its name in CHECKS

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".rstrip()


class Skipped(Exception):
    """There is nothing to check; the message gives the reason."""


def recommendation(cause: str, remedy: str = "") -> Finding:
    """Return a finding that is not a problem."""
    return Finding(cause, remedy, Severity.RECOMMENDATION)


def from_sentences(text: str, severity: Severity = Severity.PROBLEM) -> Finding:
    """Return the finding of a text whose first sentence is the cause, and whose others are the remedy."""
    return Finding(*cause_and_remedy(text), severity)


def explained(cause: str, answer: str | Exception, more: str = "") -> Finding:
    """Return a finding with what the answer of a mail server means, and its remedy, if they are known."""
    explanation = explain(answer)
    usual = remedy(answer) if isinstance(answer, Exception) else "The log of the mail server says more."
    found = (f"{cause} {explanation.cause}", explanation.remedy) if explanation else (cause, usual)
    return Finding(found[0], f"{found[1]} {more}".rstrip())


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
        if "expired" in cause.verify_message:
            return "Renew it, and find out why this does not happen automatically."
        return "Its certificate must be for this name and signed by an authority that this machine trusts."
    return "Is the address right, and can this machine reach it?"
