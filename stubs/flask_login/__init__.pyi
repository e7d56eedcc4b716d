# The part of Flask-Login that this application uses: the library has no type annotations.
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from flask import Flask, Request
from flask.typing import ResponseReturnValue

from app.models import User

_View = TypeVar("_View", bound=Callable[..., object])
_UserLoader = TypeVar("_UserLoader", bound=Callable[[str], User | None])
_RequestLoader = TypeVar("_RequestLoader", bound=Callable[[Request], User | None])
_Unauthorized = TypeVar("_Unauthorized", bound=Callable[[], ResponseReturnValue])

class UserMixin:
    @property
    def is_active(self) -> bool: ...
    @property
    def is_authenticated(self) -> bool: ...
    @property
    def is_anonymous(self) -> bool: ...
    def get_id(self) -> str | None: ...

class AnonymousUserMixin:
    @property
    def is_authenticated(self) -> bool: ...

class _CurrentUser(User):
    def _get_current_object(self) -> User: ...

class LoginManager:
    session_protection: str | None
    anonymous_user: type[AnonymousUserMixin]
    def init_app(self, app: Flask, add_context_processor: bool = True) -> None: ...
    def user_loader(self, callback: _UserLoader) -> _UserLoader: ...
    def request_loader(self, callback: _RequestLoader) -> _RequestLoader: ...
    def unauthorized_handler(self, callback: _Unauthorized) -> _Unauthorized: ...
    def unauthorized(self) -> ResponseReturnValue: ...

# A visitor who is not logged in has is_authenticated, is_anonymous, is_admin, can() and is_administrator() alone.
current_user: _CurrentUser

def login_required(func: _View) -> _View: ...
def login_user(
    user: User, remember: bool = False, duration: timedelta | None = None, force: bool = False, fresh: bool = True
) -> bool: ...
def logout_user() -> bool: ...
