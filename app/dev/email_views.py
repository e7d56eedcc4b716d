"""Show an email at the width of a computer or a phone, in the light or the dark scheme, in one language or another."""

from typing import Any

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue

from app import languages

# The default is first.
WIDTHS = ("computer", "phone")
SCHEMES = ("system", "light", "dark")

# Emails are shown without scripts and forms. Their links open in the whole window.
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-top-navigation-by-user-activation"
)


def views(page: str, **values: Any) -> dict[str, Any]:
    """Return the context of dev/email_layout.html: links to the other views of an email, and the current one.

    Args:
        page: an endpoint; with `_html` appended, it is the one that show_html() answers.
        values: for the URLs of both.
    """
    width, scheme = _chosen("width", WIDTHS), _chosen("scheme", SCHEMES)
    view = values | {"width": width, "scheme": scheme}
    widths = [(name.capitalize(), url_for(page, **view | {"width": name}), name == width) for name in WIDTHS]
    schemes = [(name.capitalize(), url_for(page, **view | {"scheme": name}), name == scheme) for name in SCHEMES]
    frame = url_for(f"{page}_html", **values, scheme=None if scheme == "system" else scheme)
    return {"views": (widths, schemes), "width": width, "frame": frame}


def language() -> str | None:
    """Return the language that the URL asks for; None if there is no choice."""
    several = current_app.config["LANGUAGES"]
    return _chosen("language", (languages.current(), *several)) if len(several) > 1 else None


def language_views(page: str, **values: Any) -> list[tuple[str, str, bool]]:
    """Return links to a page in each language, if there is a choice."""
    chosen = language()
    tags = current_app.config["LANGUAGES"] if chosen else []
    return [(languages.name(tag), url_for(page, **values, language=tag), tag == chosen) for tag in tags]


def show_html(html: str) -> ResponseReturnValue:
    """Return the HTML of an email for a frame, in the scheme that the URL names."""
    scheme = _chosen("scheme", SCHEMES)
    if scheme != "system":
        html = html.replace("(prefers-color-scheme: dark)", "all" if scheme == "dark" else "not all")
        html = html.replace("color-scheme: light dark", f"color-scheme: {scheme}")
        html = html.replace('content="light dark"', f'content="{scheme}"')
    html = html.replace("<head>", '<head><base target="_top">', 1)
    return html, {"Content-Security-Policy": EMAIL_POLICY}


def _chosen(name: str, choices: tuple[str, ...]) -> str:
    asked = request.args.get(name, "")
    return asked if asked in choices else choices[0]
