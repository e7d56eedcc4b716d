"""Measure applications in turns: the cost of the requests in one turn is a Sample."""

import itertools
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import load
from servers import Server

GET, POST = "GET", "POST"
SMALL = 4  # the default number of concurrent clients


class Sample(NamedTuple):
    """The cost of a request in one turn."""

    cpu: float  # milliseconds of the server's processes
    rate: float  # requests per second
    p50: float  # milliseconds
    p99: float
    database: float = 0  # milliseconds of PostgreSQL's processes


class Bench:
    """The applications, on databases of one kind with the same number of users, and all figures."""

    def __init__(self, applications, database, post, folder, rounds, share=1.0):
        self.applications, self.database, self.post, self.folder = applications, database, post, folder
        self.rounds, self.share, self.numbers = rounds, share, itertools.count(1)
        self.running, self.forms = {}, {}
        self.figures = defaultdict(
            lambda: defaultdict(list)
        )  # by measurement and application: one Sample for each round
        self.statuses = defaultdict(Counter)
        self.notes = {}  # figures without rounds

    def turns(self, applications=None):
        """Yield pairs of a round and an application, which starts with another application in each round."""
        applications = applications or self.applications
        for number in range(self.rounds):
            at = number % len(applications)
            for application in [*applications[at:], *applications[:at]]:
                yield number, application

    def server(self, application):
        if application.name not in self.running:
            self.running[application.name] = Server(application, self.log(application))
        return self.running[application.name]

    def start_anew(self, application, **settings):
        self.stop(application)
        self.running[application.name] = Server(application, self.log(application), **settings)
        return self.running[application.name]

    def stop(self, *applications):
        for application in applications or self.applications:
            if server := self.running.pop(application.name, None):
                server.stop()

    def log(self, application):
        return self.folder / f"{application.name}.log"

    def count(self, count):
        return max(2, int(count * self.share))

    def person(self, application):
        return next(self.numbers) % application.people

    def measure(self, what, application, requests, clients=SMALL, expected=(200,), addresses=()):
        """Send requests and record their cost, with that of emails that these addresses receive soon.

        Exit on an unexpected status, unless `expected` is empty.
        """
        server = self.server(application)
        before, before_database = server.cpu(), self.database.cpu()
        run = load.run(application.port, requests, clients)
        wait_until(lambda: {*addresses} <= {*self.post.received}, 5)
        cpu, database = server.cpu() - before, self.database.cpu() - before_database
        if expected and not set(run.statuses) <= set(expected):
            raise SystemExit(f"{application.label}, {what}: {Counter(run.statuses)}")
        self.statuses[what, application.name].update(run.statuses)
        p50, p99 = (1000 * run.percentile(share) for share in (0.5, 0.99))
        count = len(run.seconds)
        sample = Sample(1000 * cpu / count, run.rate, p50, p99, 1000 * database / count)
        self.figures[what][application.name].append(sample)
        return run

    def get(self, application, path, cookies=""):
        return load.request(application.port, GET, path, cookies, is_kept=True)

    def form(self, application, path, fields):
        """Return the request that sends a form, with the token of a page that was opened once."""
        self.server(application)
        if (application.name, path) not in self.forms:
            self.forms[application.name, path] = load.open_form(application.port, path)
        cookies, token = self.forms[application.name, path]
        return load.request(application.port, POST, path, cookies, fields | token)

    def log_in(self, application, **fields):
        return self.form(application, application.login, application.login_form(self.person(application), **fields))

    def cookies(self, application):
        """Return the cookies of a browser that is logged in and has opened the home page."""
        client = load.Connection(application.port)
        answer = client.ask(self.log_in(application))
        assert answer.status == 302, answer.head
        cookies = answer.cookies | client.ask(self.get(application, "/", load.written(answer.cookies))).cookies
        client.close()
        return load.written(cookies)


def wait_until(true, seconds):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
