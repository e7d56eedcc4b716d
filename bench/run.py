"""Measure this application next to a limit and two peers: `make bench`, or bench/run.py --only pages login.

All run under gunicorn with the same number of processes and threads, each on its own database with the same number of
users, on one machine, and take turns. The table is printed, and written to bench/RESULTS.md. `make bench-scale` is
`--scale`.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import results
import scale
from emails import Post
from parts import PARTS
from servers import APPLICATIONS, Postgresql, Sqlite
from turns import Bench

PEOPLE = 10_000


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure and print these parts")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite instead of PostgreSQL")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--share", type=float, default=1, help="send this share of the requests, for a trial")
    parser.add_argument("--scale", nargs="*", type=int, help="numbers of users (default: 1000 1000000 10000000)")
    wanted = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flasky-bench-") as folder, Post() as post:
        database = (Sqlite if wanted.sqlite else Postgresql)(Path(folder))
        try:
            if wanted.scale is not None:
                measured = scale.measure(database, post, Path(folder), wanted.scale or scale.SIZES, wanted.rounds)
                words = results.of_scale(*measured)
            else:
                words = _compare(wanted, database, post, Path(folder))
            about = results.about(database.version, wanted, time.monotonic() - begun)
        finally:
            database.stop()
    print(f"\n{about}\n{words}")
    is_trial = wanted.rounds < 9 or wanted.share != 1 or wanted.people != PEOPLE or wanted.scale
    if wanted.only == list(PARTS) and not is_trial:
        results.write("scale" if wanted.scale is not None else "sqlite" if wanted.sqlite else "main", about, words)


def _compare(wanted, database, post, folder):
    bench = Bench(APPLICATIONS, database, post, folder, wanted.rounds, wanted.share)
    for application in APPLICATIONS:
        application.prepare(database, post.port, wanted.people)
    try:
        for name in wanted.only:
            begun = time.monotonic()
            PARTS[name](bench)
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    finally:
        bench.stop()
    return results.of_comparison(bench)


if __name__ == "__main__":
    main()
