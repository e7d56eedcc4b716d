"""The home page, the account overview, the appearance, the language, probes and metrics."""

from app.main import appearance, language, metrics, probes
from app.main.views import bp

__all__ = ["appearance", "bp", "language", "metrics", "probes"]
