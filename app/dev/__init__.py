"""What only a developer needs: a mailbox for emails, a pretend issuer, a server. Not imported in production."""

from app.dev.access import init_app as guard
from app.dev.mailbox import bp, keep_emails
from app.dev.mock_provider import offer_pretend_issuer
from app.dev.server import serve

__all__ = ["bp", "guard", "keep_emails", "offer_pretend_issuer", "serve"]
