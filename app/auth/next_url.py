"""Next URLs: the page to open after a login or another interruption, always a page of this application."""

from urllib.parse import quote

from flask import redirect, request, session, url_for
from werkzeug.wrappers import Response

from app.models import User
from app.request_state import SessionKey
from app.web.own_urls import safe_next_url

OUR_BLUEPRINTS = {"admin", "auth", "main", "dev"}
NO_RETURN = {"main.index", "auth.sso_callback"}  # endpoints that are never a next page


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
    """Return the URL of the requested page, or of the one whose form was sent; None if it can't be a next page."""
    if "HX-Request" in request.headers:  # htmx loads a part of a page
        return _own_page(request.headers.get("HX-Current-URL", ""))
    if request.method == "POST" and is_of_application():
        return _own_page(request.referrer or "")
    if request.method != "GET" or request.endpoint in NO_RETURN:
        return None
    return safe_next_url(this_url())


def this_url() -> str:
    """Return the path and query of this request, quoted as a browser sends them."""
    path = quote(request.root_path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~")
    query = request.query_string.decode("latin-1")
    return f"{path}?{query}" if query else path


def is_of_application() -> bool:
    """Return whether the requested page is one of an application built on this one."""
    return request.endpoint is not None and request.blueprint not in OUR_BLUEPRINTS


def _own_page(url: str) -> str | None:
    """Return the path of the page that sent a request; None if it is another site's."""
    return safe_next_url(url[len(request.host_url) - 1 :]) if url.startswith(request.host_url) else None
