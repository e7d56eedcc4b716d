"""Invitations: who was invited, and by whom; send, send again and withdraw."""

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext
from flask_login import current_user
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from wtforms import SelectField

from app import keyset
from app.accounts import invitations as service
from app.admin.blueprint import bp, choices, confirm, query
from app.admin.user_actions import role_choices
from app.auth.fields import email_field
from app.auth.forms import Form
from app.extensions import db
from app.languages import isolated
from app.models import Invitation
from app.models.role import DEFAULT_ROLE, role_label

STATES = {
    "waiting": lazy_pgettext("invitation", "Waiting"),
    "accepted": lazy_pgettext("invitation", "Accepted"),
    "withdrawn": lazy_pgettext("invitation", "Withdrawn"),
    "expired": lazy_pgettext("invitation", "Expired"),
}


class InviteForm(Form):
    email = email_field()
    role = SelectField(_l("Role"), choices=role_choices, default=DEFAULT_ROLE)


class InvitationFilter(Form):
    state = SelectField(_l("State"), choices=choices(_l("All states"), STATES), default="")


@bp.route("/invitations", methods=["GET", "POST"])
def invitations() -> ResponseReturnValue:
    form, filters = InviteForm(), InvitationFilter(request.args)
    if form.validate_on_submit() and _send(form):
        return redirect(url_for("admin.invitations"))
    rows = select(Invitation).options(joinedload(Invitation.invited_by))
    if filters.validate():
        rows = rows.where(*Invitation.in_state(filters.state.data))
    found = keyset.page(rows, [Invitation.id], request.args.get("older", ""), request.args.get("newer", ""))
    words = {"form": form, "filters": filters, "page": found, "states": STATES, "role": role_label}
    return render_template("admin/invitations.html", **words), 422 if form.errors else 200


@bp.route("/invitations/<int:number>/withdraw", methods=["GET", "POST"])
def withdraw_invitation(number: int) -> ResponseReturnValue:
    found, back = db.session.get(Invitation, number) or abort(404), url_for("admin.invitations") + query()
    if request.method == "GET":
        words = _("The link that was emailed to %(email)s will stop working.", email=isolated(found.email))
        return confirm(_("Withdraw this invitation?"), words, _("Withdraw invitation"), back)
    is_withdrawn = service.withdraw(found.email)
    db.session.commit()
    done = _("The invitation was withdrawn.") if is_withdrawn else _("The invitation was no longer waiting.")
    flash(done, "info")
    return redirect(back)


def _send(form: InviteForm) -> bool:
    try:
        invitation = service.send(form.email.data, form.role.data, by=current_user)
    except ValueError as error:
        form.email.errors = [str(error)]
        return False
    db.session.commit()
    flash(_("An invitation is on its way to %(email)s.", email=isolated(invitation.email)), "success")
    return True
