"""Measure login and home page with up to ten million people in PostgreSQL, and administration pages with a million."""

import copy
import secrets
import sys
import time
from collections import defaultdict
from pathlib import Path

import load
import people
from goals import MOST_ADMINISTERED, middle
from servers import APPLICATIONS, BENCH
from turns import SMALL, Bench

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.administration import paths

SIZES = [1_000, 1_000_000, 10_000_000]
MAKER = "bench/population.py"


def measure(database, post, folder, sizes, rounds):
    """Return figures by measurement and number of people, the sizes on disk, and the queries that read many rows."""
    several = [_with_people(size, database, post) for size in sizes]
    bench = Bench(several, database, post, folder, rounds)
    try:
        for _, application in bench.turns():
            bench.server(application)
            ours = [bench.get(application, "/", _anybodys_cookie(application)) for _ in range(300)]
            load.run(application.port, ours[:100], SMALL)  # warm up the indexes
            bench.measure("home, logged in", application, ours[100:])
            forms = [application.login_form(_anybody(application)) for _ in range(12)]
            requests = [bench.form(application, application.login, form) for form in forms]
            bench.measure("login, 4 clients", application, requests, expected=(302,))
            if application.people <= MOST_ADMINISTERED:
                _measure_administration(bench, application)
        largest = max(
            (application for application in several if application.people <= MOST_ADMINISTERED),
            key=lambda application: application.people,
        )
        _reauthenticate(largest)
        long = largest.command([largest.python, BENCH / "administration.py", str(_middle(largest))])
    finally:
        bench.stop()
    sizes_on_disk = {application.people: database.size(application.name) for application in several}
    return _worst(bench.figures), sizes_on_disk, long


def _measure_administration(bench, application):
    _reauthenticate(application)
    cookie = _cookie(application, 0)
    for path in paths(_middle(application)):
        requests = [bench.get(application, path, cookie)] * 8
        bench.measure(path.replace(str(_middle(application)), "<id>"), application, requests)


def _worst(figures):
    """Return the figures without the searches and filters of an administration page that cost less than its worst."""

    def cost(what):
        return max(middle(samples, "cpu") + middle(samples, "database") for samples in figures[what].values())

    pages = defaultdict(list)
    for what in figures:
        pages[what.partition("?")[0]].append(what)
    return {what: figures[what] for whats in pages.values() for what in [max(whats, key=cost)]}


def _with_people(size, database, post):
    flasky = next(application for application in APPLICATIONS if application.name == "flasky")
    application = copy.copy(flasky)
    application.name, application.label, application.maker = f"people{size}", f"{size:,} people", MAKER
    begun = time.monotonic()
    application.prepare(database, post.port, size)
    application.environment["MAIL_DELIVERY"] = "worker"  # which does not run, so that no job changes the population
    print(f"{application.label}: made in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return application


def _anybodys_cookie(application):
    return _cookie(application, _anybody(application))


def _anybody(application):
    """Return the number of a person who logs in as people.py describes it."""
    return 10 * secrets.randbelow(application.people // 10)


def _cookie(application, number):
    return people.cookie(application.environment["SECRET_KEY"], application.environment["PUBLIC_URL"], number)


def _middle(application):
    return application.people // 2 + 1


def _reauthenticate(application):
    application.command([application.python, MAKER, "reauthenticate"])
