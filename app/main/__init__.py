"""Pages that are not about logging in: home, the account overview, probes and well-known addresses."""

from app.main import probes
from app.main.views import bp

__all__ = ["bp", "probes"]
