"""Usernames: the page to change the username."""

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from wtforms import StringField
from wtforms.validators import ValidationError

from app.accounts import usernames
from app.auth import access
from app.auth.blueprint import bp
from app.auth.fields import username_field
from app.auth.forms import Form, form_page
from app.database import is_duplicate
from app.extensions import db
from app.models import User
from app.security.rate_limits import rate_limited


class ChangeUsernameForm(Form):
    username = username_field()

    def validate_username(self, field: StringField) -> None:
        if User.find(field.data or "") not in {None, current_user}:
            raise ValidationError(_("This username is already taken. Choose another."))


@bp.route("/change-username", methods=["GET", "POST"])
@access.reauthentication_required
@rate_limited("availability")
def change_username() -> ResponseReturnValue:
    form = ChangeUsernameForm(username=current_user.username)
    if form.validate_on_submit():
        try:
            usernames.change(current_user, form.username.data)
            db.session.commit()
            flash(_("Your username was changed."), "success")
            return redirect(url_for("main.account"))
        except (
            IntegrityError
        ) as error:  # another request was faster, so validate() will usually find the username taken
            db.session.rollback()
            if not is_duplicate(error, "users.username_key"):
                raise
            if form.validate():
                form.form_errors.append(_("This username was just taken. Choose another."))
    return form_page("auth/change_username.html", form)
