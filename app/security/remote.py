"""Limit the total time of requests to other servers; the timeout of a socket restarts with each packet."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cache
from threading import Thread
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

T = TypeVar("T")


def within(seconds: float, ask: Callable[..., T], *args: Any) -> T:
    """Return the result of `ask(*args)`, or raise TimeoutError after `seconds` and discard a later result.

    Each call has a thread of its own, so that a server that hangs holds up neither another one nor the process's exit.
    """
    future: Future[T] = Future()
    Thread(target=_settle, args=(future, ask, *args), name="remote", daemon=True).start()
    return future.result(seconds)


def fetch(url: str, seconds: float, most: int, data: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
    """Return a body of at most `most` bytes. Raises within `seconds`, and HTTPError for a redirect, too."""
    request = Request(url, data, headers)  # noqa: S310 - the address is a setting
    return within(seconds, _fetch, request, seconds, most)


def read_all(read: Callable[[int], bytes], until: float, most: int) -> bytes:
    """Return the parts that `read` returns until an empty one. Raises ValueError for more than `most` bytes, or late.

    Args:
        read: such as read1() of an answer, which returns what has arrived, at most so many bytes.
        until: of time.monotonic().
    """
    body = b""
    while part := read(most):
        body += part
        if len(body) > most or time.monotonic() > until:
            raise ValueError("too long")
    return body


def _settle(future: Future[T], ask: Callable[..., T], *args: Any) -> None:
    try:
        future.set_result(ask(*args))
    except BaseException as error:
        future.set_exception(error)


def _fetch(request: Request, seconds: float, most: int) -> bytes:
    until = time.monotonic() + seconds
    try:
        with _opener().open(request, timeout=seconds) as answer:
            return read_all(answer.read1, until, most)
    except HTTPError as refusal:
        refusal.close()
        raise


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: the address is the owner's choice."""


@cache
def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects)
