"""How the application connects to its database and to Redis, and how long it waits for them."""

from typing import Any

IN_MEMORY = {"sqlite://", "sqlite:///:memory:"}


def psycopg_url(url: str) -> str:
    """Make `postgres://` and `postgresql://` mean psycopg 3."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme.lower() in {"postgres", "postgresql"} else url


def engine_options(url: str) -> dict[str, Any]:
    """Return the engine options of the main database. No request waits for it for longer than 5 seconds."""
    if url.startswith("sqlite"):
        # IMMEDIATE: reads take no lock; the first write takes it at once and waits, so that no update is lost.
        connect_args = {"isolation_level": "IMMEDIATE", "timeout": 5}
        pool = {} if url in IN_MEMORY else {"max_overflow": 30}
        return {"connect_args": connect_args, "hide_parameters": True, **pool}
    limits = "-c statement_timeout=5s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
    return {
        # PgBouncer can't pass on prepared statements, and psycopg forgets them with every rollback anyway.
        "connect_args": {"connect_timeout": 5, "options": limits, "prepare_threshold": None},
        "hide_parameters": True,  # an error message must not contain what a user sent
        "max_overflow": 30,  # with the pool's 5, more than the server has threads: none waits for a connection
        "pool_timeout": 5,
    }


def rate_limit_engine(url: str) -> dict[str, Any]:
    """Return a second engine for the same database, which counts rate limits: autocommit and short timeouts."""
    if url.startswith("sqlite"):
        pool = {} if url in IN_MEMORY else {"max_overflow": 0, "pool_timeout": 1}
        return {"url": url, "connect_args": {"isolation_level": None, "timeout": 0.5}, **pool}
    limits = "-c statement_timeout=500 -c lock_timeout=500 -c synchronous_commit=off"
    return {
        "url": url,
        "connect_args": {"connect_timeout": 2, "options": limits, "prepare_threshold": None},
        "isolation_level": "AUTOCOMMIT",
        "max_overflow": 0,
        "pool_timeout": 1,
    }


def redis_options() -> dict[str, Any]:
    """Return the options of a Redis client that waits for half a second, and reconnects once if Redis hung up."""
    from redis.backoff import NoBackoff  # only where Redis is used: importing it takes 90 ms
    from redis.exceptions import ConnectionError as Disconnected
    from redis.retry import Retry

    return {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": Retry(NoBackoff(), 1, (Disconnected,))}
