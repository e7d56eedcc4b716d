"""Requests to other servers with a time limit for the whole answer; a socket's timeout restarts with each packet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

asking = ThreadPoolExecutor(max_workers=8, thread_name_prefix="remote")


def within(seconds: float, ask: Callable[..., T], *args: Any) -> T:
    """Return what `ask(*args)` returns. Raises TimeoutError after so many seconds; a later answer is discarded."""
    future = asking.submit(ask, *args)
    try:
        return future.result(seconds)
    except TimeoutError:
        future.cancel()
        raise
