"""Limit the total time of requests to other servers; the timeout of a socket restarts with each packet."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

T = TypeVar("T")

asking = ThreadPoolExecutor(max_workers=8, thread_name_prefix="remote")


def within(seconds: float, ask: Callable[..., T], *args: Any) -> T:
    """Return the result of `ask(*args)`, or raise TimeoutError after `seconds` and discard a later result."""
    future = asking.submit(ask, *args)
    try:
        return future.result(seconds)
    except TimeoutError:
        future.cancel()
        raise


def fetch(url: str, seconds: float, most: int, data: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
    """Return a body of at most `most` bytes. Raises within `seconds`, and HTTPError for a redirect, too."""
    request = Request(url, data, headers)  # noqa: S310 - the address is a setting
    return within(seconds, _fetch, request, seconds, most)


def _fetch(request: Request, seconds: float, most: int) -> bytes:
    until, body = time.monotonic() + seconds, b""
    try:
        with _opener().open(request, timeout=seconds) as answer:
            while part := answer.read1(most):
                body += part
                if len(body) > most or time.monotonic() > until:
                    raise ValueError("too long")
    except HTTPError as refusal:
        refusal.close()
        raise
    return body


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: the address is the owner's choice."""


@cache
def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects)
