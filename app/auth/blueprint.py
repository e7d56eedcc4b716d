# mypy: ignore-errors
"""The blueprint, apart from its views, so that nothing is circular."""

from flask import Blueprint

bp = Blueprint("auth", __name__)
