"""The home page, the account overview, the appearance, and probes."""

from app.main import appearance, probes
from app.main.views import bp

__all__ = ["appearance", "bp", "probes"]
