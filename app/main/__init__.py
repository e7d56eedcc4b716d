# mypy: ignore-errors
"""The pages that are not about logging in, and what happens when something goes wrong."""

from app.main import probes
from app.main.views import bp

__all__ = ["bp", "probes"]
