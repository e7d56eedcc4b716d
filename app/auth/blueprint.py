"""The blueprint, in its own module to avoid an import cycle."""

from app.switches import SwitchedBlueprint

bp = SwitchedBlueprint("auth", __name__)
