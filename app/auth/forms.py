# mypy: ignore-errors
"""What the forms share: fields, and how a page with a form answers. An application's own packages may use all of it."""

import re

from flask import g, jsonify, render_template, request
from flask_wtf import FlaskForm, RecaptchaField
from werkzeug.datastructures import CombinedMultiDict, FileStorage, MultiDict
from wtforms import EmailField, FieldList, FormField, PasswordField, StringField
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length, StopValidation, ValidationError

from app.accounts import passwords, registration, usernames
from app.models.logins import MAX_LOGIN_LENGTH
from app.security import audit, captcha
from app.security.hashing import MAX_PASSWORD_LENGTH
from app.web.negotiation import wants_json

VERBATIM = {"autocapitalize": "none", "spellcheck": "false"}  # of what is no prose


class Form(FlaskForm):
    """A form whose token CSRFProtect has checked already. No field takes a NUL: databases and scrypt stop at it."""

    class Meta(FlaskForm.Meta):
        csrf = False

        def wrap_formdata(self, form, formdata):
            if formdata is None or isinstance(formdata, MultiDict):  # such as request.args, of a form that is a GET
                return formdata
            files = MultiDict(item for item in request.files.items(multi=True) if _takes_file(form, item[0]))
            sent = CombinedMultiDict([files, request.form]) if files else request.form
            return g.get("typed") or (sent if form.is_submitted() else None)

    def validate(self, extra_validators=None):
        valid = super().validate(extra_validators)
        return not _refuse_nul(self) and valid


def _takes_file(form, name):
    """Say whether the form has a file field of this name, or fields within one another, of which one may be."""
    for field in form:
        if isinstance(field, FormField | FieldList):
            if name.startswith(f"{field.name}-"):
                return True
        elif field.name == name:
            return getattr(field.widget, "input_type", None) == "file"
    return False


def _refuse_nul(fields):
    """Say whether any field has a NUL, those within a FormField or a FieldList, too, and give it that error."""
    found = False
    for field in fields:
        if isinstance(field, FormField | FieldList):
            inside = _refuse_nul(field)
            if inside and isinstance(field, FieldList):
                field.errors = [entry.errors for entry in field]
        else:
            inside = _has_nul(field.data)
            if inside:
                field.errors = ["This has a character that can't be used here."]
        found = found or inside
    return found


def _has_nul(data):
    if isinstance(data, FileStorage):
        return "\0" in (data.filename or "")
    return any(map(_has_nul, data)) if isinstance(data, list) else isinstance(data, str) and "\0" in data


class OwnersForm(Form):
    """A form for a new password, which knows whose it is."""

    def __init__(self, user):
        super().__init__()
        self.user = user

    def words(self):
        return self.user.email, self.user.username


def form_page(template, form, **context):
    """Show a page with a form: 422 if the form has errors, which are all that a JSON request gets."""
    status = 422 if form.errors else 200
    if form.errors and wants_json():
        return jsonify(errors={name or "form": errors for name, errors in form.errors.items()}), status
    return render_template(template, form=form, **context), status


class MaxLength(Length):
    """Stop at a value that is too long, so that no later validator works on it.

    The browser is not told: it would cut a pasted password short without a word.
    """

    def __init__(self, characters):
        super().__init__(max=characters, message="This is too long.")
        self.field_flags = {}

    def __call__(self, form, field):
        try:
            super().__call__(form, field)
        except ValidationError as error:
            raise StopValidation(str(error)) from error


def rule(check):
    """Make a validator of a verb's rule, which raises ValueError with a reason, and may return a normal form."""

    def validate(form, field):
        try:
            field.data = check(field.data) or field.data
        except ValueError as error:
            raise StopValidation(str(error)) from error

    return validate


def captcha_field():
    """A box for people to tick. A form has it where `with_captcha()` says so."""

    def is_ticked(form, field):
        if "solved" in g:  # one can't ask about an answer twice
            return
        answer = request.form.get("g-recaptcha-response", "")
        try:
            if not answer or len(answer) > 8192 or not captcha.is_solved(answer):
                audit.refused("the CAPTCHA was not solved")
                raise StopValidation("Tick the box to show that you are a person.")
            g.solved = True
        except captcha.Unavailable as error:
            raise StopValidation("We could not check the box just now. Try again in a minute.") from error

    return RecaptchaField("Are you a person?", [is_ticked])


def with_captcha(form, is_asked=True):
    """Keep the box on a form if it is to be asked for, else take it off; its page may load the service's script."""
    if captcha.is_on() and is_asked:
        g.captcha = True
    else:
        del form.recaptcha
    return form


def stripped(typed):
    """A filter for what people type: without the space that a phone puts after a word."""
    return typed and typed.strip()


def email_field(label="Email address"):
    return EmailField(
        label,
        [DataRequired("Write your email address."), MaxLength(MAX_LOGIN_LENGTH), rule(registration.normal_email)],
        filters=[stripped],
        render_kw={"autocomplete": "email"} | VERBATIM,
    )


def username_field():
    return StringField(
        "Username",
        [DataRequired("Choose a username."), rule(usernames.check)],
        filters=[stripped],
        description="Emails, digits, dots, dashes and underscores.",
        render_kw={"autocomplete": "username"} | VERBATIM,
    )


def password_field(label="Password"):
    """A password that exists."""
    return PasswordField(
        label,
        [InputRequired("Write your password."), MaxLength(MAX_PASSWORD_LENGTH)],
        render_kw={"autocomplete": "current-password"},
    )


def code_field(label="Code from the email"):
    """A code from an email, however it is spaced."""
    return StringField(
        label,
        [DataRequired("Write the code that stands in the email."), MaxLength(64)],
        filters=[lambda typed: typed and re.sub(r"[\s-]", "", typed)],
        render_kw={"autocomplete": "one-time-code", "inputmode": "numeric"} | VERBATIM,
    )


def factor_code_field(label, *checks, inputmode="numeric"):
    """A code of an authenticator app, or a recovery code, which has emails."""
    return StringField(
        label,
        [DataRequired("Write the code."), MaxLength(64), *checks],
        filters=[stripped],
        render_kw={"autocomplete": "one-time-code", "inputmode": inputmode} | VERBATIM,
    )


def new_password_field(label="Password"):
    """A new password, which must not be guessed from the person's own `words`, which the form has."""

    def is_hard_to_guess(form, field):
        rule(lambda password: passwords.check_new(password, *form.words()))(form, field)

    return PasswordField(
        label,
        [InputRequired("Choose a password."), is_hard_to_guess],
        render_kw={"autocomplete": "new-password"},
    )


def password_again_field():
    return PasswordField(
        "Password again",
        [EqualTo("password", "The two passwords are not the same.")],
        render_kw={"autocomplete": "new-password", "required": True},
    )
