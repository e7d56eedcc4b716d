"""Forms: the base class, validators, and the response with a form. Your own pages can use them."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from flask import Response, jsonify, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from werkzeug.datastructures import CombinedMultiDict, FileStorage, MultiDict
from wtforms import Field, FieldList, FormField, StringField
from wtforms.form import BaseForm
from wtforms.i18n import get_translations
from wtforms.validators import Length, StopValidation, ValidationError

from app import languages, switches
from app.models import User
from app.request_state import state
from app.web.negotiation import wants_json
from settings.languages import SOURCE

AnyForm = TypeVar("AnyForm", bound="Form")


class Form(FlaskForm):
    """A form without a CSRF token, since app/web/csrf.py checks all requests.

    No field accepts a NUL character, at which databases and scrypt truncate a text.
    """

    class Meta(FlaskForm.Meta):
        csrf = False

        def wrap_formdata(self, form: Any, formdata: Any) -> Any:
            """Bind uploads to file fields only, so that no other field gets a file instead of text."""
            if formdata is None or isinstance(formdata, MultiDict):  # such as request.args, for a form sent by GET
                return formdata
            if not form.is_submitted():
                return None
            files = MultiDict(item for item in request.files.items(multi=True) if _has_file_field(form, item[0]))
            return CombinedMultiDict([files, request.form]) if files else request.form

        def get_translations(self, form: Any) -> Any:
            """Return WTForms' own messages in the language of the page; Flask-WTF reads them again for each form."""
            return _messages_of_wtforms(languages.current())

    def validate(self, extra_validators: Any = None) -> bool:
        is_valid = super().validate(extra_validators)
        return not _refuse_nul(self) and is_valid


class NewPasswordForm(Form):
    """A form for a new password, which must not contain the user's email address or username."""

    def __init__(self, user: User) -> None:
        super().__init__()
        self.user = user

    def words(self) -> tuple[str, ...]:
        return self.user.email, self.user.known_as


class TextField(StringField):
    """A StringField whose `data` is empty instead of None."""

    data: str

    def process_data(self, value: str | None) -> None:
        super().process_data(value or "")


def form_page(template: str, form: Form, **context: Any) -> ResponseReturnValue:
    """Render a page with a form. If the form has errors, the status is 422, and JSON clients get only the errors."""
    status = 422 if form.errors else 200
    if form.errors and wants_json():
        return jsonify(errors={name or "form": errors for name, errors in form.errors.items()}), status
    return render_template(template, form=form, **context), status


def confirmation_page(back: str, title: str, words: str, button: str, style: str = "btn-danger") -> str:
    """Render a page with a button that posts to this URL, and a link back to the endpoint `back`."""
    action = url_for(request.endpoint or "", **(request.view_args or {}))
    page = {"title": title, "words": words, "button": button, "style": style, "action": action, "back": back}
    return render_template("auth/confirm_change.html", **page)


def redirect_elsewhere(label: str, url: str) -> Response:
    """Redirect to another site through a page, since the Content Security Policy lets no form lead there."""
    page = make_response(render_template("auth/going.html", label=label, url=url))
    page.headers["Refresh"], page.headers["Cache-Control"] = f"0; url={url}", "no-store"
    return page


class MaxLength(Length):
    """Refuse a value that is too long, before other validators process it.

    The input gets no `maxlength` attribute, to which browsers would silently truncate a pasted password.
    """

    def __init__(self, characters: int) -> None:
        super().__init__(max=characters, message=_l("This is too long. Shorten it."))
        self.field_flags = {}

    def __call__(self, form: BaseForm, field: StringField) -> None:
        try:
            super().__call__(form, field)
        except ValidationError as error:
            raise StopValidation(str(error)) from error


def rule(check: Callable[[Any], Any]) -> Callable[[BaseForm, Field], None]:
    """Return a validator for a function that raises ValueError with a message, or returns the normalized value."""

    def validate(form: BaseForm, field: Field) -> None:
        try:
            field.data = check(field.data) or field.data
        except ValueError as error:
            raise StopValidation(str(error)) from error

    return validate


def with_captcha(form: AnyForm, is_asked: bool = True) -> AnyForm:
    """Keep the CAPTCHA field if it must be solved, and allow the scripts of reCAPTCHA; otherwise remove the field."""
    if switches.is_on("captcha") and is_asked:
        state.has_recaptcha = not switches.is_on("altcha")
    else:
        del form["captcha"]
    return form


def stripped(text: str | None) -> str | None:
    """Strip whitespace, such as the space that phones add after a word. A filter for fields."""
    return text and text.strip()


@cache
def _messages_of_wtforms(language: str) -> Any:
    return get_translations([language.replace("-", "_"), SOURCE])


def _has_file_field(form: BaseForm, name: str) -> bool:
    for field in form:
        if isinstance(field, FormField | FieldList):
            if name.startswith(f"{field.name}-"):
                return True
        elif field.name == name:
            return getattr(field.widget, "input_type", None) == "file"
    return False


def _refuse_nul(fields: Iterable[Field]) -> bool:
    """Add an error to each field with a NUL character, in subforms too; return whether there is any."""
    found = False
    for field in fields:
        if isinstance(field, FormField | FieldList):
            inside = _refuse_nul(field)
            if inside and isinstance(field, FieldList):
                field.errors = [entry.errors for entry in field]
        else:
            inside = _has_nul(field.data)
            if inside:
                field.errors = [_("This contains a character that can't be used here.")]
        found = found or inside
    return found


def _has_nul(data: Any) -> bool:
    if isinstance(data, FileStorage):
        return "\0" in (data.filename or "")
    return any(map(_has_nul, data)) if isinstance(data, list) else isinstance(data, str) and "\0" in data
