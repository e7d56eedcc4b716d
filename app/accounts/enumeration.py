"""What PREVENT_ENUMERATION changes: whether visitors can learn which email addresses have an account.

Views and services ask the policy one of its questions. Nothing else reads the setting.
"""

from dataclasses import dataclass

from flask import current_app


@dataclass(frozen=True)
class Policy:
    """The answers that differ between an application that reveals accounts and one that conceals them."""

    says_taken: bool  # a form may answer "This address is already registered."
    says_over_budget: bool  # a form may answer that an address got too many emails
    logs_in_at_registration: bool  # otherwise the page says that an email was sent, whether or not there was an account
    registers_without_password: bool  # a concealed registration is confirmed with the password that was chosen
    corrects_email: bool  # an unconfirmed user may enter another address, and is asked "did you mean"
    logs_in_unconfirmed: bool  # otherwise a login tells the registrant that the address was free
    looks_up_unverified: bool  # a provider login may say that an address that the provider did not verify is registered


REVEALING = Policy(True, True, True, True, True, True, True)
CONCEALING = Policy(False, False, False, False, False, False, False)


def policy() -> Policy:
    """Return the policy that the running application follows."""
    return CONCEALING if current_app.config["PREVENT_ENUMERATION"] else REVEALING
