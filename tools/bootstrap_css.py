"""Write app/static/bootstrap.css: Bootstrap's CSS without what the pages don't use (`make bootstrap`).

Left out are the components that need Bootstrap's scripts, a few others, and the utilities for screens wider than `lg`.

The source comes with the development dependency Bootstrap-Flask. tests/test_supply.py fails if the result is stale.
"""

import re
from pathlib import Path

import flask_bootstrap

SOURCE = Path(flask_bootstrap.__file__).parent / "static/bootstrap5/css/bootstrap.min.css"
TARGET = Path(__file__).parent.parent / "app/static/bootstrap.css"
COMPONENTS = (  # those of the first line need scripts
    "(?:bs-)?(?:popover|tooltip)|accordion|carousel|collapsing|drop(?:down|up)|modal|nav(?:bar)?[-.:> ]|offcanvas|toast"
    "|btn-close|form-floating|list-group|placeholder|progress|spinner"
)
LEFT_OUT = re.compile(rf"(?<=[{{}}])(?:\.(?:{COMPONENTS})[^{{}},]*,?)+\{{[^{{}}]*\}}")
WIDE = re.compile(r"(?<=[{}])\.(?:[a-z]+-)+xx?l(?:-[a-z0-9-]+)?\{[^{}]*\}")
SOURCE_MAP = re.compile(r"\n?/\*# sourceMappingURL=.*?\*/")


def build() -> str:
    """Return the reduced CSS, with Bootstrap's licence notice."""
    return SOURCE_MAP.sub("", WIDE.sub("", LEFT_OUT.sub("", SOURCE.read_text("utf-8")))).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(build(), "utf-8")
