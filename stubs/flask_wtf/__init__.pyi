# The part of Flask-WTF that this application uses: the library has no type annotations.
from collections.abc import Iterable
from typing import Any

from wtforms import Field, Form
from wtforms.meta import DefaultMeta

from .csrf import CSRFProtect as CSRFProtect

class FlaskForm(Form):
    class Meta(DefaultMeta):
        def wrap_formdata(self, form: Any, formdata: Any) -> Any: ...

    def is_submitted(self) -> bool: ...
    def validate_on_submit(self, extra_validators: dict[str, Iterable[object]] | None = None) -> bool: ...

class RecaptchaField(Field):
    def __init__(self, label: str = "", validators: Iterable[object] | None = None, **kwargs: object) -> None: ...
