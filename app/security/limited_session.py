"""Limit the time and the size of the answers that Requests reads; its own timeout restarts with each packet.

Authlib's clients are sessions of Requests. A module of its own, because importing Requests takes 90 ms.
"""

import time
from functools import partial
from io import BytesIO
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from app.security.remote import read_all

MAX_ANSWER = 1024 * 1024  # bytes


def get_json(url: str, seconds: float, **headers: str) -> Any:
    """Return the JSON at a URL. Raises ValueError and the exceptions of Requests."""
    with Session() as session:
        limit(session, seconds)
        response = session.get(url, headers=headers, timeout=seconds)
        response.raise_for_status()
        return response.json()


def limit(session: Session, seconds: float) -> None:
    """Make a session stop reading `seconds` from now, and after MAX_ANSWER of each answer."""
    adapter = _LimitedAdapter(time.monotonic() + seconds)
    session.mount("https://", adapter)
    session.mount("http://", adapter)


class _LimitedAdapter(HTTPAdapter):
    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        response = super().send(request, *args, **kwargs)
        answer = response.raw
        try:
            response.raw = BytesIO(read_all(partial(answer.read1, decode_content=True), self.until, MAX_ANSWER))
        finally:
            answer.close()
        return response
