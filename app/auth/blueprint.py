"""The blueprint, in a module of its own, so that views import it without a cycle."""

from flask import Blueprint

bp = Blueprint("auth", __name__)
