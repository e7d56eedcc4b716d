"""Options and timeouts of the connections to the database and to Redis."""

from collections.abc import Mapping
from typing import Any

IN_MEMORY = {"sqlite://", "sqlite:///:memory:"}


def psycopg_url(url: str) -> str:
    """Return a URL that names psycopg 3 in place of `postgres://` or `postgresql://`."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme.lower() in {"postgres", "postgresql"} else url


def engine_options(url: str) -> dict[str, Any]:
    """Return the engine options of the database, with timeouts of 5 seconds."""
    if url.startswith("sqlite"):
        # IMMEDIATE: reads take no lock, and the first write waits for the lock, so that no update is lost.
        connect_args = {"isolation_level": "IMMEDIATE", "timeout": 5}
        pool = {} if url in IN_MEMORY else {"max_overflow": 30}
        return {"connect_args": connect_args, "hide_parameters": True, **pool}
    limits = "-c statement_timeout=5s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
    return {
        # PgBouncer does not support prepared statements, and psycopg discards them with every rollback anyway.
        "connect_args": {"connect_timeout": 5, "options": limits, "prepare_threshold": None},
        "hide_parameters": True,  # error messages must not contain user input
        "max_overflow": 30,  # with the pool's 5, for the 64 threads of the server: those that wait for a hash need none
        "pool_timeout": 5,
    }


def rate_limit_engine(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a second engine for the counters: the same database, autocommit and short timeouts.

    Args:
        options: of the first engine.
    """
    if url.startswith("sqlite"):
        return _of_another_engine(url, options, {"isolation_level": None, "timeout": 0.5}, pool_timeout=1)
    limits = "-c statement_timeout=500 -c lock_timeout=500 -c synchronous_commit=off"
    another = _of_another_engine(url, options, {"connect_timeout": 2, "options": limits}, pool_timeout=1)
    return another | {"isolation_level": "AUTOCOMMIT"}


def lookup_engine(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an engine for the look-up of the logged-in user, in autocommit mode. SQLite needs none.

    Args:
        options: of the first engine.
    """
    if url.startswith("sqlite"):
        return {**options, "url": url}
    return _of_another_engine(url, options, {}) | {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}


def _of_another_engine(
    url: str, options: Mapping[str, Any], connect_args: Mapping[str, Any], **pool: int
) -> dict[str, Any]:
    """Return the options of the first engine with others for connections, and a small pool unless it has its own."""
    is_own_pool = url in IN_MEMORY or "poolclass" in options
    limits = {} if is_own_pool else {"max_overflow": 0} | pool
    return {**options, "url": url, "connect_args": {**options.get("connect_args", {}), **connect_args}, **limits}


def redis_options() -> dict[str, Any]:
    """Return the options of a Redis client with timeouts of half a second, which reconnects once."""
    from redis.backoff import NoBackoff  # importing it takes 90 ms
    from redis.exceptions import ConnectionError as Disconnected
    from redis.retry import Retry

    return {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": Retry(NoBackoff(), 1, (Disconnected,))}
