"""The administration pages: one module per page."""

from app.admin import blocks, emails, events, invitations, overview, user_action_pages, users  # noqa: F401 - adds views
from app.admin.blueprint import bp

__all__ = ["bp"]
