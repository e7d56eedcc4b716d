"""“This wasn't me”: the page that emails about security events link to."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField

from app import switches
from app.accounts import secure_account as service
from app.auth.blueprint import bp
from app.auth.fields import new_password_field, password_again_field
from app.auth.forms import NewPasswordForm, form_page
from app.extensions import db
from app.web import errors


class SecureAccountForm(NewPasswordForm):
    everything = BooleanField(_l("I didn't make these changes either. Undo them, too."))
    password = new_password_field(_l("New password"))
    confirm_password = password_again_field()

    def __init__(self, link: service.Link) -> None:
        super().__init__(link.user)
        self.link = link

    def words(self) -> tuple[str, ...]:
        return *super().words(), self.link.email


@bp.route("/secure-account/<token>", methods=["GET", "POST"])
def secure_account(token: str) -> ResponseReturnValue:
    link = service.find(token, everything="everything" in request.form)
    has_password = switches.is_on("password")
    if not link or (link.secured and not has_password):
        return errors.invalid_link()
    form = SecureAccountForm(link)
    if not has_password:
        del form.password, form.confirm_password
    if not form.is_submitted():
        return _page(token, link, form)
    is_valid = form.validate()  # before anything is written, since it may wait for Pwned Passwords
    used = link if link.secured else service.take_back(link)
    if not used or (is_valid and has_password and not service.choose_password(link.user, form.password.data)):
        db.session.rollback()
        return errors.invalid_link()
    db.session.commit()  # the account is recovered even if the new password is invalid
    if form.errors:
        return _page(token, used, form)
    words = _("You have your account back. Log in with your new password.")
    flash(words if has_password else _("You have your account back. Log in."), "success")
    return redirect(url_for("auth.login"))


def _page(token: str, link: service.Link, form: SecureAccountForm) -> ResponseReturnValue:
    context = {"changes": service.changes(link), "earlier": service.earlier_changes(link)}
    return form_page("auth/secure_account.html", form, token=token, link=link, **context)
