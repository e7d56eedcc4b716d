"""What the forms share: fields, and how a page with a form answers."""

from flask import g, jsonify, render_template, request
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField
from wtforms.validators import DataRequired, EqualTo, InputRequired, StopValidation

from app.accounts import passwords, registration
from app.auth.gate import wants_json


class Form(FlaskForm):
    """A form whose token CSRFProtect has checked already. No field takes a NUL: databases and scrypt stop at it."""

    class Meta(FlaskForm.Meta):
        csrf = False

        def wrap_formdata(self, form, formdata):
            return g.get("typed") or (request.form if form.is_submitted() else None)

    def validate(self, extra_validators=None):
        valid = super().validate(extra_validators)
        for field in self:
            if isinstance(field.data, str) and "\0" in field.data:
                field.errors = ["This has a character that can't be used here."]
                valid = False
        return valid


def form_page(template, form, **context):
    """Show a page with a form: 422 if the form has errors, which are all that a JSON request gets."""
    status = 422 if form.errors else 200
    if form.errors and wants_json():
        return jsonify(errors={name or "form": errors for name, errors in form.errors.items()}), status
    return render_template(template, form=form, **context), status


def rule(check, *others):
    """Make a validator of a verb's rule, which raises ValueError with a reason, and may return a normal form.

    `others` names the fields whose values the rule gets besides.
    """

    def validate(form, field):
        try:
            field.data = check(field.data, *[form[name].data for name in others]) or field.data
        except ValueError as error:
            raise StopValidation(str(error)) from error

    return validate


def stripped(typed):
    """A filter for what people type: without the space that a phone puts after a word."""
    return typed and typed.strip()


def email_field():
    return EmailField(
        "Email address",
        [DataRequired("Write your email address."), rule(registration.normal_email)],
        filters=[stripped],
        render_kw={"autocomplete": "email"},
    )


def new_password_field(words=()):
    """A new password, which must not be guessed from the fields that `words` names."""
    return PasswordField(
        "Password",
        [InputRequired("Choose a password."), rule(passwords.check_new, *words)],
        render_kw={"autocomplete": "new-password"},
    )


def password_again_field():
    return PasswordField(
        "Password again",
        [EqualTo("password", "The two passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
