"""Write app/static/bootstrap.css: Bootstrap's CSS without the components that need its scripts (`make bootstrap`).

The source comes with the development dependency Bootstrap-Flask. tests/test_supply.py fails if the result is stale.
"""

import re
from pathlib import Path

import flask_bootstrap

SOURCE = Path(flask_bootstrap.__file__).parent / "static/bootstrap5/css/bootstrap.min.css"
TARGET = Path(__file__).parent.parent / "app/static/bootstrap.css"
NEEDS_SCRIPTS = re.compile(
    r"(?<=[{}])(?:\.(?:(?:bs-)?(?:popover|tooltip)|carousel|collapsing|drop(?:down|up)|modal|offcanvas|toast)[^{},]*,?)+"
    r"\{[^{}]*\}"
)
SOURCE_MAP = re.compile(r"\n?/\*# sourceMappingURL=.*?\*/")


def build() -> str:
    """Return the reduced CSS, with Bootstrap's licence notice."""
    return SOURCE_MAP.sub("", NEEDS_SCRIPTS.sub("", SOURCE.read_text("utf-8"))).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(build(), "utf-8")
