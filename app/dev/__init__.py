"""Development only: the mailbox, a mock OIDC provider and a server. Production never imports this package."""

from app.dev.access import init_app as guard
from app.dev.mailbox import bp, keep_emails
from app.dev.mock_provider import register_mock_provider
from app.dev.server import serve

__all__ = ["bp", "guard", "keep_emails", "register_mock_provider", "serve"]
