"""The registration flow: show a registration form, create the account, and log in. Pages with such a form share it."""

from collections.abc import Callable
from typing import Any

from flask import flash, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app import switches
from app.accounts import registration
from app.accounts.registration import NewAccount
from app.auth import login_flow
from app.auth.forms import form_page
from app.auth.registration_forms import RegistrationForm
from app.extensions import db
from app.models import User
from app.request_state import SessionKey
from app.web.own_urls import safe_next_url


def registration_page(
    form: RegistrationForm,
    create: Callable[[NewAccount], ResponseReturnValue],
    can_omit_password: bool = True,
    **context: Any,
) -> ResponseReturnValue:
    """Show a registration form, and answer a valid one by `create`."""
    has_password = switches.is_on("password")
    can_omit_password = can_omit_password and has_password and switches.is_on("passkey")
    if not has_password or ("by_passkey" in request.form and can_omit_password):
        del form.password, form.confirm_password
    if form.validate_on_submit() and (response := _register(form, create)):
        return response
    return form_page("auth/register.html", form, can_omit_password=can_omit_password, **context)


def log_in_new(user: User, new: NewAccount) -> ResponseReturnValue:
    """Log in to a new account, and lead to the passkeys if one was wanted instead of a password."""
    lacks_passkey = new.password is None and switches.is_on("passkey")
    wants_passkey = lacks_passkey and ("by_passkey" in request.form or not switches.is_on("magic_link"))
    passkeys = url_for("auth.list_passkeys", next=safe_next_url(request.args.get("next"))) if wants_passkey else None
    first = "" if user.can_use_application else _("Confirm your email address first, then add a passkey.")
    response = login_flow.complete_login(user, "registration", to=passkeys)
    if wants_passkey:
        flash(first or _("Now add a passkey."), "info")
    elif lacks_passkey:
        session[SessionKey.PASSKEY_OFFER] = True
    return response


def _register(
    form: RegistrationForm, create: Callable[[NewAccount], ResponseReturnValue]
) -> ResponseReturnValue | None:
    """Register; try again if another registration was faster, and return None if the form then has errors."""
    for _attempt in range(2):
        try:
            return create(form.new_account())
        except registration.Taken:
            db.session.rollback()
            if not form.validate():
                return None
    form.form_errors.append(_("Another registration was faster. Try again."))
    return None
