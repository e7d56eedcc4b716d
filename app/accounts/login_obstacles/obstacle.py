"""The form of an obstacle."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Obstacle:
    """One thing that keeps a user from logging in, or that a login needs."""

    cause: str  # sentences
    command: str = ""  # a command line that helps; empty: none does
    is_past: bool = False  # it kept the user out, but does not keep them out now


Obstacles = Iterator[Obstacle]


def at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
