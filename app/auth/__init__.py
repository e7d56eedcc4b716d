"""The account pages: a module a capability, each with its forms above its views."""

from app.auth import email_change, gate, login, magic_links, passwords, registration, usernames
from app.auth.blueprint import bp

__all__ = ["bp", "email_change", "gate", "login", "magic_links", "passwords", "registration", "usernames"]
