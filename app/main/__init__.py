"""The home page, the account overview, the appearance, probes and metrics."""

from app.main import appearance, metrics, probes
from app.main.views import bp

__all__ = ["appearance", "bp", "metrics", "probes"]
