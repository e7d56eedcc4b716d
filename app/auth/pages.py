"""A page that several capabilities lead to."""

from collections.abc import Iterable

from flask import render_template, session, url_for

from app.auth.next_url import safe_next_url
from app.request_state import SessionKey


def codes_page(codes: Iterable[str]) -> str:
    """Render new recovery codes. They are shown only now: the database holds their hashes."""
    next_url = safe_next_url(session.pop(SessionKey.NEXT, None)) or url_for("main.account")
    return render_template("auth/recovery_codes.html", codes=codes, going=next_url)
