"""Tell URLs of this application from others, which a page must not redirect to."""

import re
from urllib.parse import quote, unquote, urlsplit

from flask import current_app

from app.request_state import current_request

MAX_LENGTH = 2048  # characters
# str.isprintable() refuses these, which occur in the URLs of several scripts. Browsers send them percent-encoded.
SPACES_AND_JOINERS = re.compile(r"[\u200c\u200d\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
CHOICES = {None, "main.appearance", "main.language"}
SAFE_IN_QUERY = "!$'()*,/:;?@"  # as url_for() has it
DOTS = {".", ".."}


def safe_next_url(target: str | None) -> str | None:
    """Return `target` if it is a path under PUBLIC_URL, else None. Other applications may share the host."""
    if not target or not safe_path(target):
        return None
    own, path = urlsplit(current_app.config["PUBLIC_URL"]).path, re.split(r"[?#]", target)[0]
    is_ours = (path == own or path.startswith(f"{own}/")) and not _has_dot_segments(path)
    return target if is_ours else None


def next_query(page: str | None) -> str:
    """Return the query that a link to another page needs to lead back to `page`, or "" if it is None."""
    return f"?next={quote(page, safe=SAFE_IN_QUERY)}" if page else ""


def page_to_return_to() -> str | None:
    """Return this page's path for a page with a choice, which leads back to it; None if it may hold a token."""
    request = current_request()
    can_return = request.method == "GET" and request.endpoint not in CHOICES and not request.view_args
    return request.script_root + request.path if can_return else None


def safe_path(target: str | None) -> str | None:
    """Return `target` if it is a path on this host, else None.

    Browsers treat `//host`, `/\\host` and paths with tabs or line breaks as other sites.
    """
    if not target or not target.startswith("/") or target.startswith("//") or len(unquote(target)) > MAX_LENGTH:
        return None
    rest = SPACES_AND_JOINERS.sub("", target)
    return target if rest.isprintable() and not set(" \\") & set(rest) else None


def _has_dot_segments(path: str) -> bool:
    """Return whether a browser, or a proxy that decodes the path, would leave it. Some treat `..;x` as `..`."""
    for _ in range(3):  # some decode twice
        if any(segment.partition(";")[0] in DOTS for segment in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False
