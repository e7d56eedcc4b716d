"""Development only: a mailbox for emails, a mock OIDC provider, a server. Production does not import this package."""

from app.dev.access import init_app as guard
from app.dev.mailbox import bp, keep_emails
from app.dev.mock_provider import register_mock_provider
from app.dev.server import serve

__all__ = ["bp", "guard", "keep_emails", "register_mock_provider", "serve"]
