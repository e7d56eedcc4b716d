# mypy: ignore-errors
"""Where a user may be led after a login or another interruption: to pages of this application alone."""

import re
from urllib.parse import quote, unquote, urlsplit

from flask import current_app, g, redirect, request, session, url_for

MAX_LENGTH = 2048  # characters
# Not printable to Python, yet in addresses of several scripts; they are sent quoted, as all that is not ASCII.
SPACES_AND_JOINERS = re.compile(r"[\u200c\u200d\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
DOTS = {".", ".."}
NO_WAY_BACK = {"main.index", "auth.sso_callback"}  # coming back to these would make no sense


def address_asked_for():
    """Return the path and query of this request, quoted as a browser sends them."""
    path = quote(request.root_path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~")
    return f"{path}?{request.query_string.decode('latin-1')}" if request.query_string else path


def safe_next_url(target):
    """Return `target` if it is a path under PUBLIC_URL's own, else None: another application may live beside it."""
    own = urlsplit(current_app.config["PUBLIC_URL"]).path
    path = safe_path(target) and re.split(r"[?#]", target)[0]
    is_ours = path and (path == own or path.startswith(f"{own}/")) and not _has_dot_segments(path)
    return target if is_ours else None


def safe_path(target):
    """Return `target` if it is a path within this host, else None.

    Browsers read `//host`, `/\\host` and paths with tabs or line breaks as other sites.
    """
    if not target or not target.startswith("/") or target.startswith("//") or len(unquote(target)) > MAX_LENGTH:
        return None
    rest = SPACES_AND_JOINERS.sub("", target)
    return target if rest.isprintable() and not set(" \\") & set(rest) else None


def _has_dot_segments(path):
    """Say whether a browser, or a proxy that decodes first, would go up from this path. `..;x` is `..` to some."""
    for _ in range(3):  # some decode twice
        if any(segment.partition(";")[0] in DOTS for segment in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False


def store_location(owner=None):
    """Keep this page in mind, for log_in() and go_on(): not in an address, which others may see.

    If it is `owner`'s alone, nobody else will be led to it.
    """
    session["next"], session["next_for"] = this_page(), owner and owner.id


def redirect_to_next():
    """Go to where a person was held back from, or home."""
    return redirect(safe_next_url(session.pop("next", None)) or url_for("main.index"))


def this_page():
    """The address of the page asked for, or None if coming back to it would make no sense."""
    if "HX-Request" in request.headers:  # this is a part of the page
        return _page_of_htmx()
    if request.method != "GET" or request.endpoint in NO_WAY_BACK or "typed" in g:
        return None
    return safe_next_url(address_asked_for())


def _page_of_htmx():
    """The page that a part was asked for on, which htmx names; None if it is none of ours."""
    address = request.headers.get("HX-Current-URL", "")
    return safe_next_url(address[len(request.host_url) - 1 :]) if address.startswith(request.host_url) else None
