"""The blueprint, in its own module to avoid an import cycle."""

from flask import Blueprint

bp = Blueprint("auth", __name__)
