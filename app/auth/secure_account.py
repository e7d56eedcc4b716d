# mypy: ignore-errors
"""“This wasn't me”: the page that every email about the security of an account leads to."""

from flask import flash, redirect, request, url_for
from wtforms import BooleanField

from app.accounts import secure_account as rules
from app.auth.blueprint import bp
from app.auth.forms import NewPasswordForm, form_page, new_password_field, password_again_field
from app.extensions import db
from app.web import errors


class SecureAccountForm(NewPasswordForm):
    everything = BooleanField("These were not me either: undo them, too")
    password = new_password_field("New password")
    confirm_password = password_again_field()


@bp.route("/secure-account/<token>", methods=["GET", "POST"])
def secure_account(token):
    link = rules.find(token, everything="everything" in request.form)
    if not link:
        return errors.invalid_link()
    form = SecureAccountForm(link.user)
    if not form.is_submitted():
        return _page(token, link, form)
    if not link.secured and not rules.take_back(link):
        db.session.rollback()
        return errors.invalid_link()
    if form.validate() and not rules.choose_password(link.user, form.password.data):
        return errors.invalid_link()
    db.session.commit()  # whatever is wrong with the password, the account is taken back
    if form.errors:
        return _page(token, rules.find(token), form)
    flash("Your account is yours again, and your new password is set. Log in with it.", "success")
    return redirect(url_for("auth.login"))


def _page(token, link, form):
    context = {"changes": rules.changes(link), "earlier": rules.earlier_changes(link)}
    return form_page("auth/secure_account.html", form, token=token, link=link, **context)
