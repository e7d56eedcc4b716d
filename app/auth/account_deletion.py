"""Account deletion: the pages to request it, and to cancel it within 14 days."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user, login_required, logout_user
from wtforms import Field
from wtforms.validators import ValidationError

from app import clock, formats
from app.accounts import account_deletion, personal_data
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.fields import email_field
from app.auth.forms import Form, form_page
from app.extensions import db
from app.models.logins import email_key


class DeleteForm(Form):
    email = email_field(_l("Enter your email address to confirm"))

    def validate_email(self, field: Field) -> None:
        if email_key(field.data) != current_user.email_key:
            raise ValidationError(_("This isn't your account's email address."))


@bp.route("/delete", methods=["GET", "POST"])
@access.reauthentication_required
def delete() -> ResponseReturnValue:
    form = DeleteForm()
    if form.validate_on_submit():
        due = account_deletion.request(current_user)
        db.session.commit()
        logout_user()
        flash(
            _("Your account will be deleted on %(date)s. To keep it, log in before then.", date=formats.day(due)),
            "success",
        )
        return redirect(url_for("main.index"))
    due_at = clock.now() + account_deletion.GRACE
    return form_page("auth/delete.html", form, names=personal_data.descriptions(), due_at=due_at)


@bp.route("/cancel-deletion", methods=["GET", "POST"])
@login_required
def cancel_deletion() -> ResponseReturnValue:
    if not current_user.deletion_due_at:
        return next_url.redirect_to_next()
    if Form().validate_on_submit():
        account_deletion.cancel(current_user)
        db.session.commit()
        flash(_("Your account won't be deleted."), "success")
        return next_url.redirect_to_next()
    return render_template("auth/cancel_deletion.html")
