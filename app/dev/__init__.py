"""Development only: the mailbox, previews of emails, a mock OIDC provider, a server. Production never imports it."""

from app.dev import previews as previews  # adds its pages to the blueprint
from app.dev.access import init_app as guard
from app.dev.mailbox import bp, keep_emails
from app.dev.mock_provider import register_mock_provider
from app.dev.refusals import explain_refusals
from app.dev.server import serve

__all__ = ["bp", "explain_refusals", "guard", "keep_emails", "register_mock_provider", "serve"]
