"""The link of an invitation: register with the invited address, or log in to the account that has it by now."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user
from wtforms import Field
from wtforms.validators import ValidationError

from app import switches
from app.accounts import invitations, registration
from app.accounts.registration import NewAccount
from app.auth.blueprint import bp
from app.auth.forms import Form
from app.auth.registration_flow import log_in_new, registration_page
from app.auth.registration_forms import RegistrationForm
from app.extensions import db
from app.models import Invitation, User
from app.models.role import DEFAULT_ROLE, role_label
from app.security.rate_limits import rate_limited
from app.web import errors


class InvitationForm(RegistrationForm):
    """A registration form with a fixed email address, which the link has proved, so it needs no CAPTCHA."""

    def __init__(self, email: str) -> None:
        super().__init__()
        self.email.data, self.email.render_kw = email, (self.email.render_kw or {}) | {"readonly": True}
        del self.captcha

    def validate_email(self, field: Field) -> None:
        if registration.is_taken(field.data):
            raise ValidationError(self.TAKEN)


@bp.route("/invitation/<token>", methods=["GET", "POST"])
@rate_limited("availability")
def accept_invitation(token: str) -> ResponseReturnValue:
    invitation = Invitation.of_token(token)
    if (
        invitation
        and invitation.accepted_at
        and current_user.is_authenticated
        and invitation.user_id == current_user.id
    ):
        return redirect(url_for("main.index"))  # just accepted
    if not invitation or not invitation.is_valid:
        return errors.invalid_link(is_invitation=True)
    owner = User.find(invitation.email)
    page: dict[str, Any] = {"invitation": invitation, "inviter": invitations.inviter(invitation)}
    page["role"] = "" if invitation.role_name == DEFAULT_ROLE else role_label(invitation.role_name)
    page["next_page"] = url_for("auth.accept_invitation", token=token)
    if owner or current_user.is_authenticated or not switches.is_on("registration"):
        return _accept(invitation, owner) or render_template("auth/invitation.html", owner=owner, **page)
    return registration_page(InvitationForm(invitation.email), lambda new: _register(invitation, new), **page)


def _accept(invitation: Invitation, owner: User | None) -> ResponseReturnValue | None:
    """Accept the invitation of the logged-in owner of the address, if they sent the form."""
    if not owner or owner != current_user or not Form().validate_on_submit():
        return None
    if not invitations.accept(invitation, owner):
        return errors.invalid_link(is_invitation=True)
    db.session.commit()
    flash(_("You've accepted the invitation."), "success")
    return redirect(url_for("main.index"))


def _register(invitation: Invitation, new: NewAccount) -> ResponseReturnValue:
    user = invitations.register(invitation, new)
    return log_in_new(user, new) if user else errors.invalid_link(is_invitation=True)
