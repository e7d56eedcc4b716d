# mypy: ignore-errors
"""The session cookie is bound to PUBLIC_URL: one of another instance with the same SECRET_KEY means nothing here."""

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer


class SessionInterface(SecureCookieSessionInterface):
    """Flask's, with a salt of this instance."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        self.salt = f"session of {app.config['PUBLIC_URL']}"
        return super().get_signing_serializer(app)


def init_app(app: Flask) -> None:
    app.session_interface = SessionInterface()
