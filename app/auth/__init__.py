"""The account pages: a module a capability, each with its forms above its views."""

from app.auth import gate, login, registration
from app.auth.blueprint import bp

__all__ = ["bp", "gate", "login", "registration"]
