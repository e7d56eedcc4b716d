"""Where a user may be led after a login or another interruption: to pages of this application alone."""

import re
from urllib.parse import unquote, urlsplit

from flask import current_app

MAX_LENGTH = 2048  # characters
DOTS = {".", ".."}


def safe_next(target):
    """Return `target` if it is a path under PUBLIC_URL's own, else None: another application may live beside it."""
    own = urlsplit(current_app.config["PUBLIC_URL"]).path
    path = safe_path(target) and re.split(r"[?#]", target)[0]
    is_ours = path and (path == own or path.startswith(f"{own}/")) and not _has_dot_segments(path)
    return target if is_ours else None


def safe_path(target):
    """Return `target` if it is a path within this host, else None.

    Browsers read `//host`, `/\\host` and paths with tabs or line breaks as other sites.
    """
    if not target or len(target) > MAX_LENGTH or not target.startswith("/") or target.startswith("//"):
        return None
    if "\\" in target or any(not character.isprintable() or character.isspace() for character in target):
        return None
    return target


def _has_dot_segments(path):
    """Say whether a browser, or a proxy that decodes first, would go up from this path. `..;x` is `..` to some."""
    for _ in range(3):  # some decode twice
        if any(segment.partition(";")[0] in DOTS for segment in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False
