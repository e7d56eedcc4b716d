"""Hash passwords in about one thread per core, because each hash takes 16 MiB of memory.

A request that waits for a thread returns its database connection to the pool in the meantime.
"""

import os
import unicodedata

from flask import current_app
from werkzeug.security import check_password_hash, generate_password_hash

from app.security import imported_hashes
from app.security.hash_threads import Threads

MAX_PASSWORD_LENGTH = 1024  # characters


def hash_password(password: str) -> str:
    """Hash a password in its composed form (NFC).

    Raises:
        ValueError: the password is empty, too long, or contains a NUL, at which scrypt stops.
        hash_threads.Busy: the threads could not do it in time.
    """
    if not password or "\0" in password or len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"A password can't be empty, contain a NUL or exceed {MAX_PASSWORD_LENGTH} characters.")
    normal = unicodedata.normalize("NFC", password)
    return threads.run(generate_password_hash, normal, current_app.config["PASSWORD_HASH"])


def check_password(stored: str | None, password: str) -> bool:
    """Return whether `stored` is the hash of `password`. A missing or malformed hash takes the same time."""
    is_too_long = len(password) > MAX_PASSWORD_LENGTH
    password = unicodedata.normalize("NFC", password[:MAX_PASSWORD_LENGTH])
    dummy = f"{current_app.config['PASSWORD_HASH']}$nobody$0"
    for candidate in (stored, dummy):
        try:
            if candidate:
                is_right = threads.run(_verify, *imported_hashes.unsalted(candidate, password))
                return is_right and candidate is stored and "\0" not in password and not is_too_long
        except (ValueError, TypeError, OverflowError):
            continue
    return False


def _verify(stored: str, password: str) -> bool:
    ours = imported_hashes.is_ours(stored)
    return check_password_hash(stored, password) if ours else imported_hashes.verify(stored, password)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(processes: int) -> None:
    """Divide the cores among the worker processes of a server. Each process calls this once.

    Each process gets one thread more than its share, because requests are not spread evenly over processes. In
    measurements a fifth more logins succeeded.
    """
    global threads
    threads = Threads(max(1, cores() // processes) + 1)


threads = Threads(cores())
