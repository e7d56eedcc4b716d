"""Measure login and home page with a thousand, a million and ten million users in PostgreSQL."""

import copy
import secrets
import sys
import time

import load
import people
from servers import APPLICATIONS
from turns import SMALL, Bench

SIZES = [1_000, 1_000_000, 10_000_000]


def measure(database, post, folder, sizes, rounds):
    """Return the figures by measurement and number of users (one Sample for each round), and the sizes on disk."""
    several = [_with_people(size, database, post) for size in sizes]
    bench = Bench(several, database, post, folder, rounds)
    try:
        for _, application in bench.turns():
            bench.server(application)
            ours = [bench.get(application, "/", _anybodys_cookie(application)) for _ in range(300)]
            load.run(application.port, ours[:100], SMALL)  # warm up the indexes
            bench.measure("home, logged in", application, ours[100:])
            forms = [application.login_form(secrets.randbelow(application.people)) for _ in range(12)]
            requests = [bench.form(application, application.login, form) for form in forms]
            bench.measure("login, 4 clients", application, requests, expected=(302,))
    finally:
        bench.stop()
    sizes_on_disk = {application.people: database.size(application.name) for application in several}
    return bench.figures, sizes_on_disk


def _with_people(size, database, post):
    flasky = next(application for application in APPLICATIONS if application.name == "flasky")
    application = copy.copy(flasky)
    application.name, application.label = f"people{size}", f"{size:,} people"
    begun = time.monotonic()
    application.prepare(database, post.port, size)
    print(f"{application.label}: made in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return application


def _anybodys_cookie(application):
    key, url = application.environment["SECRET_KEY"], application.environment["PUBLIC_URL"]
    return people.cookie(key, url, secrets.randbelow(application.people))
