"""What administrators do with one account: the services of `flask users`, under the names of its commands."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_ngettext
from flask_login import current_user
from sqlalchemy.exc import InvalidRequestError
from wtforms import HiddenField, SelectField
from wtforms.validators import DataRequired

from app.accounts import (
    account_deletion,
    administration,
    device_verification,
    login_obstacles,
    magic_links,
    passwords,
    registration,
    two_factor,
)
from app.auth.forms import Form, MaxLength, TextField, stripped
from app.extensions import db
from app.models import Role, User
from app.models.logins import MAX_LOGIN_LENGTH
from app.models.role import role_label
from app.security import signing
from app.switches import has, is_on

STATE = "email username role_name confirmed deactivated_at deletion_due_at two_factor_enabled_at".split()
TEXT: dict[str, Any] = {"validators": [DataRequired(_l("Fill in this field.")), MaxLength(MAX_LOGIN_LENGTH)]}
TEXT["filters"] = [stripped]


class ActionForm(Form):
    seen = HiddenField()  # of the account that the administrator has seen

    def values(self) -> list[Any]:
        return [value for name, value in self.data.items() if name != "seen"]


class UsernameForm(ActionForm):
    username = TextField(_l("New username"), **TEXT)


class EmailForm(ActionForm):
    email = TextField(_l("New email address"), **TEXT)


class RoleForm(ActionForm):
    role_name = SelectField(_l("Role"), choices=lambda: role_choices())


class UserAction(NamedTuple):
    """An action, and the words of the page that asks first.

    Attributes:
        act: called with the user and the value of the form, if it asks for one; raises ValueError with a message.
    """

    button: str
    words: str
    act: Callable[..., object]
    is_possible: Callable[[User], object] = bool
    form: type[ActionForm] = ActionForm
    style: str = "btn-primary"


def role_choices() -> list[tuple[str, str]]:
    """Return the roles that the administrator may give, for a field."""
    return [(role.name, role_label(role.name)) for role in administration.roles_to_give(current_user)]


def _send_confirmation(user: User) -> None:
    if not registration.send_again(user):
        raise ValueError(_("An email was sent just now, or several were sent recently. Try again later."))


def _is_unconfirmed(user: User) -> bool:
    return not user.confirmed and is_on("confirmation")


def _can_log_in_by_link(user: User) -> bool:
    return not login_obstacles.to_links(user)


def _set_role(user: User, name: str) -> None:
    role = db.session.get_one(Role, name)
    administration.check_may_give(current_user, role)  # the choices are older than the lock
    administration.set_role(user, role)


RED = "btn-danger"
# fmt: off
ACTIONS = {
    "confirm": UserAction(
        _l("Confirm address"),
        _l("Do this only if you know that the address is theirs."),
        registration.confirm_manually, _is_unconfirmed),
    "resend": UserAction(
        _l("Send confirmation email"),
        _l("The user gets another email with a link and a code."),
        _send_confirmation, _is_unconfirmed),
    "send-reset": UserAction(
        _l("Send reset link"),
        _l("The user gets an email with a link to choose a new password."),
        passwords.send_reset, _can_log_in_by_link),
    "send-login-link": UserAction(
        _l("Send login link"),
        _l("The user gets an email with a link that logs them in once. It works for a day."),
        magic_links.send_login_link, _can_log_in_by_link),
    "trust-next-login": UserAction(
        _l("Allow a login without a code"),
        _l("The user can log in once without a code, within an hour. Verify their identity first."),
        device_verification.trust_next_login, lambda user: not device_verification.why_never(user), style=RED),
    "reset-two-factor": UserAction(
        _l("Reset two-factor"),
        _l("Two-factor authentication is turned off, passkeys and recovery codes are removed, and the user is "
           "logged out on all devices. The user gets an email about it. Verify their identity first."),
        two_factor.reset, two_factor.is_on, style=RED),
    "log-out": UserAction(
        _l("Log out everywhere"),
        _l("The user is logged out on all devices. The user gets an email about it."),
        administration.log_out_everywhere, style=RED),
    "rename": UserAction(
        _l("Change username"),
        _l("The user logs in with the new username. Someone else can take the old one. The user gets an email "
           "about it."),
        administration.rename, lambda user: is_on("username"), UsernameForm),
    "set-email": UserAction(
        _l("Change email address"),
        _l("The user is logged out on all devices. Both addresses get an email about it. With the one to the old "
           "address, the change can be undone for 7 days. Verify their identity first."),
        administration.set_email, form=EmailForm),
    "set-role": UserAction(
        _l("Change role"),
        _l("The new role takes effect when the user opens the next page. The user gets an email about it."),
        _set_role, form=RoleForm),
    "activate": UserAction(
        _l("Reactivate account"),
        _l("The user can log in again. The user gets an email about it."),
        administration.activate, lambda user: not user.is_active),
    "deactivate": UserAction(
        _l("Deactivate account"),
        _l("The user is logged out, and can't log in until you reactivate the account. No data is deleted. The "
           "user gets an email about it."),
        administration.deactivate, lambda user: user.is_active, style=RED),
    "cancel-deletion": UserAction(
        _l("Cancel deletion"),
        _l("The account and its data stay as they are. The user gets an email about it."),
        account_deletion.cancel, lambda user: user.deletion_due_at),
    "delete": UserAction(
        lazy_ngettext("Delete in %(num)d day", "Delete in %(num)d days", account_deletion.GRACE.days),
        _l("The user is logged out, gets an email about it, and can keep the account by logging in before then."),
        account_deletion.request, lambda user: not user.deletion_due_at, style=RED),
    "delete-now": UserAction(
        _l("Delete now"),
        _l("The account and all its data are deleted. This can't be undone. The user gets an email about it."),
        account_deletion.purge, style=RED),
}
# fmt: on


def is_permitted(user: User) -> bool:
    """Return whether the administrator has all permissions of this account; otherwise they could take them over."""
    return bool(current_user.can(user.role.permissions))


def possible(user: User) -> dict[str, UserAction]:
    """Return the actions that this account permits and no setting removes, by name."""
    if not is_permitted(user):
        return {}
    return {name: action for name, action in ACTIONS.items() if has(name) and action.is_possible(user)}


def state_of(user: User) -> str:
    return signing.fingerprint(*(getattr(user, column) for column in STATE))


def is_unchanged(user: User, state: str | None) -> bool:
    """Lock both accounts; return whether this one has this state, and the administrator still is one."""
    acting = db.session.get_one(User, current_user.id)
    try:
        for account in sorted({user, acting}, key=lambda account: account.id):
            account.lock()
    except InvalidRequestError:  # a deleted row can't be refreshed
        return False
    return acting.is_active and acting.is_administrator() and state_of(user) == state
