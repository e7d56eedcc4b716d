"""Choose the form of a response: a page, JSON, or a redirect for htmx."""

from flask import Response, abort, make_response, redirect, request
from flask.typing import ResponseReturnValue

PAGES = ("text/html", "application/xhtml+xml")


def wants_json() -> bool:
    """Return whether the client prefers JSON to a page, by the quality values of Accept (RFC 9110, 12.5.1).

    A named type takes precedence over a wildcard of the same quality: axios sends `application/json, text/plain, */*`.
    Without a preference, a request by a script (XMLHttpRequest, a JSON body) gets JSON.
    """
    accepted = [(item.partition(";")[0].strip().lower(), quality) for item, quality in request.accept_mimetypes]
    named_json = max((quality for kind, quality in accepted if _is_json(kind)), default=0.0)
    named_page = max((quality for kind, quality in accepted if kind in PAGES), default=0.0)
    page = max(named_page, request.accept_mimetypes.quality("text/html") if named_json else 0.0)
    if named_json or named_page:
        return named_json > page or (named_json == page and not named_page)
    if _is_xhr() or request.is_json:
        return True
    quality = request.accept_mimetypes.quality
    return bool(quality("application/json") and not quality("text/html"))


def lead_to(address: str, status: int) -> ResponseReturnValue:
    """Redirect a browser to another page; scripts, which would render that page in place of theirs, get `status`.

    htmx loads the page that HX-Redirect names.
    """
    if request.headers.get("HX-Request") == "true":
        response: Response = make_response("", status)
        response.headers["HX-Redirect"] = address
        return response
    if wants_json() or _is_xhr():
        abort(status)
    return redirect(address)


def _is_json(kind: str) -> bool:
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _is_xhr() -> bool:
    return request.headers.get("X-Requested-With", "").lower() == "xmlhttprequest"
