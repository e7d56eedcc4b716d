"""What keeps a user from logging in, and the command that helps: for `flask users why` and the administration pages.

tests/test_login_obstacles.py collects all that can refuse a login, and requires a check here or a reason why not.
"""

from app import languages
from app.accounts.login_obstacles import account, emails, limits, providers
from app.accounts.login_obstacles.obstacle import Obstacle
from app.models import User

__all__ = ["CHECKS", "Obstacle", "of", "to_links"]

CHECKS = (
    account.deactivated,
    account.deletion_pending,
    account.unconfirmed,
    account.no_password,
    account.unreadable_password,
    account.compromised_password,
    account.two_factor_needed,
    account.device_code_needed,
    providers.refused,
    emails.unreachable,
    emails.unsent,
    emails.mail_server_away,
    emails.budget_used_up,
    limits.reached,
    limits.captcha_needed,
    limits.network_blocked,
    account.failures,
)


def to_links(user: User) -> list[Obstacle]:
    """Return why an email with a link would not log this user in."""
    return [*account.deactivated(user), *emails.unreachable(user)]


def of(user: User) -> list[Obstacle]:
    """Return all that keeps `user` from logging in, in English; an empty list if nothing is known."""
    with languages.speaking("en"):  # the words of events and limits would be in the language of the administrator
        return [obstacle for check in CHECKS for obstacle in check(user)]
