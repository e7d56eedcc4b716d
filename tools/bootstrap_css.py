"""Write app/static/bootstrap.css: Bootstrap's CSS without what the pages don't use (`make bootstrap`).

Beside it, bootstrap-full.css and bootstrap-full.js have all of Bootstrap, for FULL_BOOTSTRAP=1.

Left out are the components that need Bootstrap's scripts, a few others, and the utilities for screens wider than `lg`.

The source comes with the development dependency Bootstrap-Flask. tests/test_supply.py fails if the result is stale.
"""

import re
from pathlib import Path

import flask_bootstrap

SOURCE = Path(flask_bootstrap.__file__).parent / "static/bootstrap5"
TARGET = Path(__file__).parent.parent / "app/static"
COMPONENTS = (  # those of the first line need scripts
    "(?:bs-)?(?:popover|tooltip)|accordion|carousel|collapsing|drop(?:down|up)|modal|nav(?:bar)?[-.:> ]|offcanvas|toast"
    "|btn-close|form-floating|list-group|placeholder|progress|spinner"
)
LEFT_OUT = re.compile(rf"(?<=[{{}}])(?:\.(?:{COMPONENTS})[^{{}},]*,?)+\{{[^{{}}]*\}}")
WIDE = re.compile(r"(?<=[{}])\.(?:[a-z]+-)+xx?l(?:-[a-z0-9-]+)?\{[^{}]*\}")
SOURCE_MAP = re.compile(r"\n?(?:/\*|//)# sourceMappingURL=.*?(?:\*/|$)", re.MULTILINE)

# What only all of Bootstrap has follows the brand and the scheme, too.
BRAND = (
    ":root{--bs-primary-bg-subtle:var(--accent-soft);--bs-primary-text-emphasis:var(--accent-strong)}"
    ".btn-close{color:inherit;background:currentColor;mask:var(--bs-btn-close-bg) center/1em no-repeat}\n"
)


def build() -> dict[str, str]:
    """Return the files by name, with Bootstrap's and Popper's licence notices."""
    css = _read("css/bootstrap.min.css")
    return {
        "bootstrap.css": WIDE.sub("", LEFT_OUT.sub("", css)),
        "bootstrap-full.css": css + BRAND,
        "bootstrap-full.js": _read("umd/popper.min.js") + _read("js/bootstrap.min.js"),
    }


def _read(name: str) -> str:
    return SOURCE_MAP.sub("", (SOURCE / name).read_text("utf-8")).rstrip() + "\n"


if __name__ == "__main__":
    for name, text in build().items():
        (TARGET / name).write_text(text, "utf-8")
