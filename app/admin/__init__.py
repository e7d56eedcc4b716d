"""The administration pages: one module per page."""

from app.admin import emails, events, overview  # noqa: F401 - registers the views
from app.admin.blueprint import bp

__all__ = ["bp"]
