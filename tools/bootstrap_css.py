"""Write app/static/bootstrap.css: Bootstrap's CSS without what the pages don't use (`make bootstrap`).

Beside it, bootstrap-full.css and bootstrap-full.js have all of Bootstrap, for FULL_BOOTSTRAP=1.

Both mirror themselves on pages that are read from right to left: left becomes start, and right becomes end.

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

SIDES = {"left": "start", "right": "end", "top": "start", "bottom": "end"}
PHYSICAL = re.compile(
    r"(?<=[{;])(?:(?P<box>margin|padding|border)-(?P<side>left|right)(?=[-:])|(?P<inset>left|right)(?=:)"
    r"|border-(?P<block>top|bottom)-(?P<inline>left|right)(?=-radius:)"
    r"|(?P<keyword>text-align:|(?:float|clear):)(?P<value>left|right)"
    r"|padding:(?P<y>[\w.]+) (?P<right>[\w.]+) (?P=y) (?P<left>[\w.]+))"
)
RULE = re.compile(r"(?<=[{}])[^{}@]+\{[^{}]*\}")
PLACED = ("popover", "bs-tooltip")  # by Popper, at a side that it names left or right
ONE_SIDED = re.compile(  # properties for which CSS knows no start and end
    r"(?<=[{;])(?:background-position:[^;}]*(?:left|right)|transform:[^;}]*translateX?\(-?[1-9.]|transform-origin:0)[^;}]*"
)
MIRRORED = {
    "left": "right",
    "right": "left",
    "X(": "X(-",
    "X(-": "X(",
    "translate(": "translate(-",
    "translate(-": "translate(",
    ":0": ":100%",
}
MIRROR = re.compile(r"left|right|X\(-?|translate\(-?|(?<=origin):0")

# What only all of Bootstrap has follows the brand, the scheme and the direction, too.
BRAND = (
    ":root{--bs-primary-bg-subtle:var(--accent-soft);--bs-primary-text-emphasis:var(--accent-strong)}"
    ".btn-close{color:inherit;background:currentColor;mask:var(--bs-btn-close-bg) center/1em no-repeat}"
    ":where([dir=rtl]) :is(.carousel-control-prev-icon,.carousel-control-next-icon){scale:-1 1}\n"
)


def build() -> dict[str, str]:
    """Return the files by name, with Bootstrap's and Popper's licence notices."""
    css = _read("css/bootstrap.min.css")
    return {
        "bootstrap.css": mirroring(WIDE.sub("", LEFT_OUT.sub("", css))),
        "bootstrap-full.css": mirroring(css) + BRAND,
        "bootstrap-full.js": _read("umd/popper.min.js") + _read("js/bootstrap.min.js"),
    }


def mirroring(css: str) -> str:
    """Return minified CSS that means the same where lines run from left to right, and mirrors it where `dir` is rtl."""
    return RULE.sub(lambda rule: rule[0] if any(name in rule[0] for name in PLACED) else _mirroring(rule[0]), css)


def _mirroring(rule: str) -> str:
    one_sided = ";".join(MIRROR.sub(lambda side: MIRRORED[side[0]], declared) for declared in ONE_SIDED.findall(rule))
    selectors = ",".join(f":where([dir=rtl]) {selector}" for selector in rule.partition("{")[0].split(","))
    return PHYSICAL.sub(_logical, rule) + (f"{selectors}{{{one_sided}}}" if one_sided else "")


def _logical(it: re.Match[str]) -> str:
    if it["y"]:
        return f"padding-block:{it['y']};padding-inline:{it['left']} {it['right']}"
    if it["keyword"]:
        return f"{it['keyword']}{'' if it['keyword'] == 'text-align:' else 'inline-'}{SIDES[it['value']]}"
    if it["block"]:
        return f"border-{SIDES[it['block']]}-{SIDES[it['inline']]}"
    return f"{it['box'] or 'inset'}-inline-{SIDES[it['side'] or it['inset']]}"


def _read(name: str) -> str:
    return SOURCE_MAP.sub("", (SOURCE / name).read_text("utf-8")).rstrip() + "\n"


if __name__ == "__main__":
    for name, text in build().items():
        (TARGET / name).write_text(text, "utf-8")
