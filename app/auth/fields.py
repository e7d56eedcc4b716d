"""Fields and small forms that several pages share."""

import re
from collections.abc import Callable
from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import RecaptchaField
from wtforms import BooleanField, Field
from wtforms.form import BaseForm
from wtforms.validators import DataRequired, EqualTo, InputRequired, StopValidation
from wtforms.widgets import EmailInput, PasswordInput

from app.accounts import blocks, password_strength, registration, usernames
from app.auth.forms import Form, MaxLength, TextField, rule, stripped
from app.models.logins import MAX_LOGIN_LENGTH
from app.request_state import state
from app.security import audit, captcha
from app.security.hashing import MAX_PASSWORD_LENGTH

KEEP = _l("Keep me logged in on this device")
VERBATIM = {"autocapitalize": "none", "spellcheck": "false"}
# `maxlength` leaves room for spaces and dashes. With `data-code`, app.js sends the form at that number of digits.
CODE = {"autocomplete": "one-time-code", "maxlength": "16"} | VERBATIM


def email_field(label: str = _l("Email address"), *rules: Callable[[str], Any]) -> TextField:
    checks = map(rule, (registration.normal_email, *rules))
    return TextField(
        label,
        [DataRequired(_l("Enter your email address.")), MaxLength(MAX_LOGIN_LENGTH), *checks],
        filters=[stripped],
        widget=EmailInput(),
        render_kw={"autocomplete": "email"} | VERBATIM,
    )


def new_email_field(label: str = _l("Email address")) -> TextField:
    """Return a field for the email address of a new or changed account, which must not be blocked."""
    return email_field(label, blocks.check)


def typed_at_login() -> str | None:
    """Return the address typed in the login form if one of its buttons submitted that form to this page, else None."""
    if "email" in request.form or "login" not in request.form:
        return None
    login = request.form["login"].strip()
    return login if "@" in login else ""


class UsernameField(TextField):
    """A field that states its rule, as it is when a form is made: an application can change HINT."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("description", usernames.HINT)
        super().__init__(*args, **kwargs)


def username_field() -> TextField:
    return UsernameField(
        _l("Username"),
        [DataRequired(_l("Choose a username.")), rule(usernames.check)],
        filters=[stripped],
        render_kw={"autocomplete": "username"} | VERBATIM,
    )


def password_field(label: str = _l("Password")) -> TextField:
    return TextField(
        label,
        [InputRequired(_l("Enter your password.")), MaxLength(MAX_PASSWORD_LENGTH)],
        widget=PasswordInput(),
        render_kw={"autocomplete": "current-password"},
    )


class NewPasswordField(TextField):
    """A field that states its rule, which app.js shows as kept or broken while the user types."""

    widget = PasswordInput()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        shortest = current_app.config["PASSWORD_MIN_LENGTH"]
        kwargs.setdefault("description", password_strength.HINT % {"shortest": shortest})
        kwargs.setdefault("render_kw", {"autocomplete": "new-password", "data-shortest": shortest})
        super().__init__(*args, **kwargs)


def new_password_field(label: str = _l("Password")) -> TextField:
    """Return a field for a new password, which must not be guessable from the form's `words()`."""

    def is_hard_to_guess(form: Any, field: Field) -> None:
        rule(lambda password: password_strength.check(password, *form.words()))(form, field)

    return NewPasswordField(label, [InputRequired(_l("Choose a password.")), is_hard_to_guess])


def password_again_field() -> TextField:
    return TextField(
        _l("Password again"),
        [EqualTo("password", _l("The passwords don't match."))],
        widget=PasswordInput(),
        render_kw={"autocomplete": "new-password", "required": True},
    )


def code_field() -> TextField:
    """Return a field for an emailed code, without spaces and dashes."""
    return TextField(
        _l("Code from the email"),
        [DataRequired(_l("Enter the code from the email.")), MaxLength(64)],
        filters=[lambda typed: typed and re.sub(r"[\s-]", "", typed)],
        render_kw=CODE | {"inputmode": "numeric", "data-code": "8"},
    )


def factor_code_field(label: str) -> TextField:
    """Return a field for a code of an authenticator app. The server accepts a recovery code in it, too."""
    return TextField(
        label,
        [DataRequired(_l("Enter the code.")), MaxLength(64)],
        filters=[stripped],
        render_kw=CODE | {"inputmode": "numeric", "data-code": "6"},
    )


def recovery_code_field() -> TextField:
    """Return a field for a recovery code, which no password manager should fill in."""
    return TextField(
        _l("Recovery code"),
        [DataRequired(_l("Enter a recovery code.")), MaxLength(64)],
        filters=[stripped],
        description=_l("10 letters and digits, such as ABCDE-23456."),
        render_kw={"autocomplete": "off", "maxlength": "64"} | VERBATIM,
    )


class CodeForm(Form):
    code = code_field()


class RememberForm(Form):
    remember_me = BooleanField(KEEP)


def captcha_field() -> RecaptchaField:
    """Return the CAPTCHA field. with_captcha() removes it where it is not needed."""

    def is_ticked(form: BaseForm, field: Field) -> None:
        if state.is_captcha_solved:
            return
        try:
            if not captcha.is_solved(request.form):
                audit.refused("the CAPTCHA was not solved")
                raise StopValidation(_("Check the box to show that you are human."))
            state.is_captcha_solved = True
        except captcha.Unavailable as error:
            raise StopValidation(_("The CAPTCHA could not be checked. Try again in a minute.")) from error

    return RecaptchaField(_l("Are you human?"), [is_ticked])
