"""The home page, the account overview, and probes."""

from app.main import probes
from app.main.views import bp

__all__ = ["bp", "probes"]
