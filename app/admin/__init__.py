"""The administration pages: one module per page."""

from app.admin import blocks, emails, events, invitations, overview  # noqa: F401 - registers the views
from app.admin.blueprint import bp

__all__ = ["bp"]
