"""What only a developer needs: a mailbox for the letters, and a server. Not imported in production."""

from app.dev.mailbox import bp, keep_letters
from app.dev.server import serve

__all__ = ["bp", "keep_letters", "serve"]
