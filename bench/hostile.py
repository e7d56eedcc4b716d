"""What a stranger can make it cost: for every route, the worst of many hostile requests ÷ an ordinary request.

Anyone can register, so routes for users are requested by users. Rate limits are on, but each request comes from another
network. What seems to cost much is measured again, and the least counts, since other work can only add to it.
"""

import json
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import load
import people
import psycopg
from psycopg import sql
from routes import MAX, Route

ROUTES = Path(__file__).with_name("routes.py")
SETTINGS = {"RATELIMIT_ENABLED": "1", "MAIL_DELIVERY": "off", "OIDC_PROVIDERS": "x", "OIDC_X_CLIENT_ID": "x"}
SETTINGS |= {"OIDC_X_ISSUER": "https://127.0.0.1:1", "OIDC_X_CLIENT_SECRET": "x"}  # where nobody answers
OTHER_WRITES = ("autovacuum", "full_page_writes")  # of PostgreSQL, which no request causes
ORDINARY, AGAIN = 3, 5  # measurements of an ordinary request, and more of a hostile one that seems to cost much
SUSPICIOUS = 3  # times an ordinary request


class Cost(NamedTuple):
    cpu: float  # milliseconds of the server's processes
    written: int  # bytes that PostgreSQL wrote
    logged: int  # bytes

    def least(self, other):
        return Cost(*map(min, self, other))

    def exceeds(self, ordinary):
        return any(mine > SUSPICIOUS * max(its, least) for mine, its, least in zip(self, ordinary, LEAST, strict=True))


LEAST = Cost(0, 1000, 1000)  # what costs less is not compared


class Worst(NamedTuple):
    """An ordinary request of a route, and the hostile requests that cost the most, each with its name."""

    route: Route
    ordinary: Cost
    cpu: tuple
    written: tuple
    logged: tuple
    rows: float  # that each request leaves in the database, ordinary and hostile ones together
    asked: int

    def times(self, name):
        """Return a hostile cost ÷ the ordinary one."""
        return getattr(self, name)[0] / max(getattr(self.ordinary, name), getattr(LEAST, name))


def measure(bench):
    """Return the Worst of each route."""
    application = next(application for application in bench.applications if application.name == "flasky")
    bench.stop()
    printed = application.command([application.python, ROUTES, str(application.people)], **SETTINGS)
    server = bench.start_anew(application, **SETTINGS)
    with psycopg.connect(bench.database.server.get_uri(application.name), autocommit=True) as database:
        _set(database, OTHER_WRITES, "off")
        database.execute("UPDATE user_sessions SET authenticated_at = now()")
        meter = Meter(bench, application, server, database)
        found = [meter.worst(Route(*route)) for route in json.loads(printed.splitlines()[-1])]
        _set(database, OTHER_WRITES, "DEFAULT")
    bench.stop(application)
    return found


class Meter:
    def __init__(self, bench, application, server, database):
        self.bench, self.application, self.database = bench, application, database
        self.log, self.asked = bench.log(application), 0
        self.clocks = [(~pid << 3) | 2 for pid in server.pids()]  # as clock_getcpuclockid(3) makes them of processes
        tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        counts = (sql.SQL("(SELECT count(*) FROM {})").format(sql.Identifier(name)) for (name,) in tables)
        self.count = sql.SQL("SELECT ") + sql.SQL(" + ").join(counts)

    def worst(self, route):
        rows, self.asked, costs = self._rows(), 0, {}
        ordinary = self.ask(route)
        for _ in range(ORDINARY - 1):
            ordinary = ordinary.least(self.ask(route))
        for kind, changes in route.hostile():
            costs[kind] = self.ask(route, **changes)
            for _ in range(AGAIN):
                if costs[kind].exceeds(ordinary):
                    costs[kind] = costs[kind].least(self.ask(route, **changes))
                    ordinary = ordinary.least(self.ask(route))
        most = [max(zip(column, costs, strict=True)) for column in zip(*costs.values(), strict=True)]
        return Worst(route, ordinary, *most, (self._rows() - rows) / self.asked, self.asked)

    def ask(self, route, headers=None, **changes):
        """Send one request, and return its cost."""
        number, self.asked, headers = next(self.bench.numbers), self.asked + 1, headers or {}
        usual = {"X-Forwarded-For": str(ip_address("10.0.0.0") + number), "Sec-Fetch-Site": "same-origin"}
        if route.is_for_users:
            usual["Cookie"] = self._cookie(route, number)
        if "Cookie" in headers:
            headers = headers | {"Cookie": f"{usual.get('Cookie', 'a=b')}; {headers['Cookie']}"[:MAX]}
        sent = {"port": self.application.port, "method": route.method, "headers": usual | headers}
        request = load.request(**sent | route.ordinary(number) | changes)
        before = self._read()
        answer = load.Connection(self.application.port).ask(request)
        after = self._read()
        if answer.status >= 500 and answer.status != 503:
            sys.exit(f"{route} answers {answer.status}: {request[:500]}")
        return Cost(*(late - early for late, early in zip(after, before, strict=True)))

    def _read(self):
        written = self.database.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0]
        return 1000 * sum(map(time.clock_gettime, self.clocks)), int(written), self.log.stat().st_size

    def _rows(self):
        return self.database.execute(self.count).fetchone()[0]

    def _cookie(self, route, number):
        """Return the session cookie of a user: of another one for each form, since forms can end a session."""
        user, environment = 0 if route.method == "GET" else number, self.application.environment
        return people.cookie(environment["SECRET_KEY"], environment["PUBLIC_URL"], user % self.application.people)


def _set(database, settings, value):
    for name in settings:
        database.execute(f"ALTER SYSTEM SET {name} = {value}")
    database.execute("SELECT pg_reload_conf()")
