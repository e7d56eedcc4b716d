"""Attack a running server as a stranger, and say what got through: `python tests/attacks/attack.py`.

The application in production, four processes behind gunicorn, on a file of SQLite, or with --postgresql on a server of
its own; its limits are on. --naive attacks an application that does it wrong (naive.py): all of it gets through there,
which shows that the attacks see what they look for. It exits with 1 if anything got through that is not meant to. It takes
half a minute, on loopback alone.
"""

import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[1:1] = map(str, [TESTS.parent, TESTS, TESTS / "faults"])

import conftest  # noqa: F401 (nobody's own settings are read)
from databases import KINDS
from force import bombing, forging, guessing, racing, spraying
from sink import Sink
from targets import Naive, Ours
from telling import bodies, times
from trickery import leading_away, other_hosts, other_sites, planting, replaying

ATTACKS = [
    guessing, spraying, forging, bombing, bodies, times, racing, replaying, planting, leading_away, other_hosts, other_sites
]  # fmt: skip


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
        print(f"{'attack':62}{'tried':>6}{'through':>9}{'may':>5}")
        holes = 0
        for attack in ATTACKS:
            for row in attack(target):
                print(f"{row.what:62}{row.tried:6}{row.through:9}{row.may:5}{'  HOLE' if row.is_hole else '':8}{row.told}")
                sys.stdout.flush()
                holes += row.is_hole
    print(f"{holes} got through." if holes else "Nothing got through.")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
