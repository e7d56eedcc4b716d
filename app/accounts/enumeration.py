"""Enumeration: whether visitors can learn which email addresses have an account (PREVENT_ENUMERATION).

Views and services ask this policy. They never read the setting themselves.
"""

from dataclasses import dataclass

from flask import current_app


@dataclass(frozen=True)
class Policy:
    """The differences between an application that reveals accounts and one that conceals them."""

    says_taken: bool  # a form may say that an email address is already registered
    says_over_budget: bool  # a form may say that an address has had too many emails
    logs_in_at_registration: bool  # otherwise the page only says that an email was sent
    registers_without_password: bool  # concealed registrations are confirmed with their password
    corrects_email: bool  # an unconfirmed user may correct the email address
    logs_in_unconfirmed: bool  # otherwise a login would tell the registrant that the address was free
    looks_up_unverified: bool  # a provider login may say that an unverified address is registered


REVEALING = Policy(True, True, True, True, True, True, True)
CONCEALING = Policy(False, False, False, False, False, False, False)


def policy() -> Policy:
    return CONCEALING if current_app.config["PREVENT_ENUMERATION"] else REVEALING
