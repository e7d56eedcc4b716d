"""Attack a running server as a stranger, and say what got through: `python tests/attacks/attack.py`.

The application in production, four processes behind gunicorn, on a file of SQLite, or with --postgresql on a server of
its own; its limits are on. --naive attacks one that does it wrong (naive.py): there all of it gets through, which shows
that the attacks see what they look for. It exits with 1 if anything got through that is not meant to. It takes a
minute, on loopback alone.
"""

import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import conftest  # noqa: F401 (nobody's own settings are read)
from emails import baiting, blocking, leading_elsewhere
from force import bombing, crowding, exhausting, forging, guessing, moving, racing, spraying
from support.databases import KINDS
from support.sink import Sink
from targets import Naive, Ours
from telling import bodies, exporting, times
from trickery import (
    impersonating,
    leading_away,
    other_hosts,
    other_sites,
    planting,
    planting_a_deletion,
    prefilling,
    remembering,
    replaying,
    staging,
    stealing,
)

BY_FORCE = [guessing, spraying, forging, moving, crowding, bombing, racing, exhausting]
BY_LOOKING = [bodies, times, exporting]
BY_TRICKERY = [
    staging,
    replaying,
    planting,
    planting_a_deletion,
    stealing,
    leading_away,
    other_hosts,
    other_sites,
    impersonating,
    prefilling,
    remembering,
]
BY_EMAIL = [baiting, leading_elsewhere, blocking]
ATTACKS = BY_FORCE + BY_LOOKING + BY_TRICKERY + BY_EMAIL


def attacked(target):
    """Try all of it; yield each attack with a row of the table."""
    for attack in ATTACKS:
        target.settle()  # nothing of the one before is under way
        for row in attack(target):
            yield attack, row


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgresql", action="store_true", help="on a server, not on a file of SQLite")
    parser.add_argument("--naive", action="store_true", help="attack the application that does it wrong")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(Sink())
        if wanted.naive:
            target = Naive(folder, sink)
        else:
            database = KINDS["postgresql" if wanted.postgresql else "sqlite"](folder)
            stack.callback(database.stop)
            target = Ours(database, folder, sink)
        stack.enter_context(target)
        print(f"{'attack':60}{'tried':>6}{'got through':>13}{'may':>5}")
        holes = 0
        for _, row in attacked(target):
            note = "HOLE" if row.is_hole else ""
            print(f"{row.what:60}{row.tried:6}{row.through:13}{row.may:5}  {note:6}{row.told}".rstrip(), flush=True)
            holes += row.is_hole
    print(f"{holes} holes." if holes else "Nothing got through that is not meant to.")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
