"""Next URLs: the page to open after a login or another interruption, always a page of this application."""

import re
from urllib.parse import quote, unquote, urlsplit

from flask import current_app, redirect, request, session, url_for
from werkzeug.wrappers import Response

from app.models import User
from app.request_state import SessionKey

MAX_LENGTH = 2048  # characters
# str.isprintable() refuses these, which occur in the URLs of several scripts. Browsers send them percent-encoded.
SPACES_AND_JOINERS = re.compile(r"[\u200c\u200d\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
DOTS = {".", ".."}
NO_RETURN = {"main.index", "auth.sso_callback"}  # endpoints that are never a next page


def safe_next_url(target: str | None) -> str | None:
    """Return `target` if it is a path under PUBLIC_URL, else None. Other applications may share the host."""
    if not target or not safe_path(target):
        return None
    own, path = urlsplit(current_app.config["PUBLIC_URL"]).path, re.split(r"[?#]", target)[0]
    is_ours = (path == own or path.startswith(f"{own}/")) and not _has_dot_segments(path)
    return target if is_ours else None


def safe_path(target: str | None) -> str | None:
    """Return `target` if it is a path on this host, else None.

    Browsers treat `//host`, `/\\host` and paths with tabs or line breaks as other sites.
    """
    if not target or not target.startswith("/") or target.startswith("//") or len(unquote(target)) > MAX_LENGTH:
        return None
    rest = SPACES_AND_JOINERS.sub("", target)
    return target if rest.isprintable() and not set(" \\") & set(rest) else None


def store_location(owner: User | None = None) -> None:
    """Store this page's URL in the session as the next page, for any user or only for `owner`.

    Unlike a URL parameter, this does not disclose the page.
    """
    session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = this_page(), owner.id if owner else None


def redirect_to_next() -> Response:
    """Redirect to the stored page, or to the home page."""
    return redirect(pop_next())


def pop_next(default: str = "main.index") -> str:
    """Remove and return the URL of the stored page; return that of the endpoint `default` if there is none."""
    return safe_next_url(session.pop(SessionKey.NEXT, None)) or url_for(default)


def redirect_to_email_sent(email: str) -> Response:
    """Redirect to the page that says that an email was sent, whether or not the address has an account."""
    session[SessionKey.EMAIL_SENT_TO] = email
    return redirect(url_for("auth.email_sent"))


def this_page() -> str | None:
    """Return the URL of the requested page; None if it can't be a next page."""
    if "HX-Request" in request.headers:  # htmx loads a part of a page
        return _page_of_htmx()
    if request.method != "GET" or request.endpoint in NO_RETURN:
        return None
    return safe_next_url(this_url())


def this_url() -> str:
    """Return the path and query of this request, quoted as a browser sends them."""
    path = quote(request.root_path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~")
    query = request.query_string.decode("latin-1")
    return f"{path}?{query}" if query else path


def _page_of_htmx() -> str | None:
    """Return the URL of the page that sent a request of htmx; None if it is another site's."""
    url = request.headers.get("HX-Current-URL", "")
    return safe_next_url(url[len(request.host_url) - 1 :]) if url.startswith(request.host_url) else None


def _has_dot_segments(path: str) -> bool:
    """Return whether a browser, or a proxy that decodes the path, would leave it. Some treat `..;x` as `..`."""
    for _ in range(3):  # some decode twice
        if any(segment.partition(";")[0] in DOTS for segment in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False
