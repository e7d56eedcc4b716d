"""The registration forms: for the registration page, and after a login at a provider."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import Field
from wtforms.validators import ValidationError

from app.accounts import enumeration, registration, usernames
from app.accounts.registration import NewAccount
from app.auth.fields import captcha_field, new_email_field, new_password_field, password_again_field, username_field
from app.auth.forms import Form
from app.models import User
from app.switches import is_on
from app.web.language import of_visitor

BUILT_IN_FIELDS = {"email", "username", "password", "confirm_password", "captcha"}


class RegistrationForm(Form):
    """Add your own fields here. Fields named like a column of User are stored; others are only validated."""

    email = new_email_field()
    username = username_field()
    password = new_password_field()
    confirm_password = password_again_field()
    captcha = captcha_field()

    TAKEN = _l("This address is already registered. Log in, or use another.")

    def __init__(self, email: str = "") -> None:
        super().__init__(email=email)
        if not is_on("username"):
            del self.username

    def words(self) -> tuple[str, ...]:
        return tuple(field.data for field in (self.email, self.username) if field)

    def validate_email(self, field: Field) -> None:
        if enumeration.policy().says_taken and registration.is_taken(field.data):
            raise ValidationError(self.TAKEN)

    def validate_username(self, field: Field) -> None:
        if User.find(field.data):
            raise ValidationError(_("This username is already taken. Choose another."))

    def asks_more(self) -> bool:
        """Return whether an application has added its own fields."""
        return any(field.name not in BUILT_IN_FIELDS for field in self)

    def profile(self) -> dict[str, Any]:
        """Return the values of an application's own fields that have a column."""
        columns = registration.profile_columns()
        return {name: value for name, value in self.data.items() if name in columns}

    def new_account(self) -> NewAccount:
        password = self.password.data if self.password else None
        username = self.username.data if self.username else usernames.opaque()
        return NewAccount(self.email.data, username, password, profile=of_visitor() | self.profile())


class CompletionForm(RegistrationForm):
    """A form for values that the provider did not send: an email address, and an application's own fields."""

    TAKEN = _l("This address is already registered. Log in to that account, and connect this one in your settings.")

    def __init__(self) -> None:
        super().__init__()
        del self.username, self.password, self.confirm_password
