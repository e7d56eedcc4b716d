"""Copy ALTCHA's widget into app/static/altcha (`make altcha`): its build for a strict Content Security Policy.

The source is pinned in tests/extended/package.json. tests/extended/test_altcha_widget.py fails if the copy is stale.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "tests/extended/node_modules/altcha"
TARGET = ROOT / "app/static/altcha"
FILES = {  # by the name of the copy
    "widget.js": "dist/external/altcha.min.js",
    "widget.css": "dist/external/altcha.css",
    "worker.js": "dist/workers/pbkdf2.js",
    "LICENSE.txt": "LICENSE.txt",
}


def build() -> dict[str, str]:
    """Return the files by name, each with a line break at its end."""
    return {name: (SOURCE / source).read_text("utf-8").rstrip() + "\n" for name, source in FILES.items()}


if __name__ == "__main__":
    for name, text in build().items():
        (TARGET / name).write_text(text, "utf-8")
