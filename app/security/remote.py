"""Limit the total time of requests to other servers; the timeout of a socket restarts with each packet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

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
