"""The measurements, one function for each part. Applications take turns in each round; figures go to Bench.figures.

With nine rounds, all parts together take less than 20 minutes on two cores.
"""

import itertools
import re
import time
from collections import Counter, defaultdict

import hostile as hostile_requests
import load
from servers import LOG_WORKERS, Running, raw_hash
from turns import GET, POST, SMALL, Sample, wait_until

CROWD = 16  # clients
STORM, STORM_LASTS = 50, 8  # clients, seconds
SLOW = 2  # seconds that a slow mail server takes
MEMBERS = "/ /account /auth/history /auth/devices /auth/connections /auth/two-factor /auth/passkeys /auth/export \
/auth/change-password /auth/change-email /auth/change-username /auth/delete /auth/recovery-codes".split()


def pages(bench):
    cookies = {application.name: bench.cookies(application) for application in bench.applications}
    for application in bench.applications:  # warm up
        load.run(application.port, [bench.get(application, "/", cookies[application.name])] * bench.count(60), SMALL)
        load.run(application.port, [bench.get(application, application.login)] * bench.count(60), SMALL)
    many = bench.count(300)
    for _, application in bench.turns():
        logged_in = bench.get(application, "/", cookies[application.name])
        bench.measure("home, logged in", application, [logged_in] * many)
        bench.measure("home, a visitor", application, [bench.get(application, "/")] * many)
        bench.measure("login page", application, [bench.get(application, application.login)] * many)


def log_in(bench):
    few, more = bench.count(8), bench.count(24)
    for _, application in bench.turns():
        bench.notes.setdefault(("raw hash", application.name), []).append(raw_hash(application, bench.count(6)))
        for what, count, clients in (("login, 4 clients", few, SMALL), ("login, 16 clients", more, CROWD)):
            bench.measure(what, application, [bench.log_in(application) for _ in range(count)], clients, (302,))
        wrong = [bench.log_in(application, password="wrong") for _ in range(bench.count(6))]
        bench.measure("login, wrong password", application, wrong, expected=(application.wrong,))
        forms = [application.login_form(10**6 + bench.person(application), "wrong") for _ in range(bench.count(6))]
        unknown = [bench.form(application, application.login, form) for form in forms]
        bench.measure("login, unknown name", application, unknown, expected=(application.wrong,))


def registration(bench):
    owed = defaultdict(set)
    several = [application for application in bench.applications if application.register]
    for _, application in bench.turns(several):
        for mode, pause, refuses in (("fast", 0, False), ("slow", SLOW, False), ("refused", 0, True)):
            bench.post.pause, bench.post.refuses = pause, refuses
            forms = [application.registration_form(f"new{next(bench.numbers)}") for _ in range(bench.count(8))]
            requests = [bench.form(application, application.register, form) for form in forms]
            bench.measure(f"registration, mail {mode}", application, requests, expected=())
            bench.post.pause, bench.post.refuses = 0, False
            owed[application.name] |= {form["email"] for form in forms}
            if mode != "refused":  # else the next turn would pay for these emails
                wait_until(lambda: {form["email"] for form in forms} <= set(bench.post.received), 5)  # noqa: B023
    flasky = next(application for application in several if application.name == "flasky")
    flasky.command([flasky.python, "-m", "flask", "mail", "retry", "--all"])  # else the last would wait for two minutes
    wait_until(lambda: owed["flasky"] <= set(bench.post.received), 60)
    for application in several:
        bench.notes["emails lost", application.name] = len(owed[application.name] - set(bench.post.received))
        bench.notes["emails owed", application.name] = len(owed[application.name])


def reset(bench):
    several = [application for application in bench.applications if application.reset]
    for _, application in bench.turns(several):
        for what, first in (("known", 0), ("unknown", 10**6)):
            forms = [
                {"email": f"person{first + bench.person(application)}@example.com"} for _ in range(bench.count(40))
            ]
            requests = [bench.form(application, application.reset, form) for form in forms]
            # The others send emails in the request, and none to an unknown address.
            addresses = {form["email"] for form in forms} if application.name == "flasky" else ()
            bench.measure(f"reset, {what} address", application, requests, SMALL, (200, 302), addresses)


def start(bench):
    """Measure what it takes until both workers have answered."""
    for _, application in bench.turns():
        server = bench.start_anew(application, GUNICORN_CMD_ARGS=LOG_WORKERS)
        bench.notes.setdefault(("start", application.name), []).append(server.wait_for_workers())
        bench.stop(application)


def memory(bench):
    """Measure the largest worker of several starts: it depends on chance which threads hash, and each keeps memory."""
    unreachable = {
        "OIDC_PROVIDERS": "acme", "OIDC_ACME_ISSUER": "https://127.0.0.1:1", "OIDC_ACME_CLIENT_ID": "x",
        "OIDC_ACME_CLIENT_SECRET": "x",
    }  # fmt: skip
    for _, application in bench.turns():
        server = bench.start_anew(application, **unreachable)
        bench.forms.clear()
        home = [bench.get(application, "/")] * bench.count(100)
        load.run(application.port, home + [bench.get(application, application.login)] * bench.count(100), SMALL)
        load.run(application.port, [bench.log_in(application) for _ in range(bench.count(24))], SMALL)
        bench.notes.setdefault(("memory", application.name), []).append(max(server.memory()))
        if application.name == "flasky" and ("memory, every flow", "flasky") not in bench.notes:
            for _ in range(bench.count(12)):
                every_flow(bench, application)
            bench.notes["memory, every flow", application.name] = max(server.memory())
        bench.stop(application)
    bench.forms.clear()


def every_flow(bench, application):
    """Send requests that make a worker load everything that it imports on first use."""
    cookies = bench.cookies(application)
    client = load.Connection(application.port)

    def post(path, form, cookies=cookies):
        return client.ask(load.request(application.port, POST, path, cookies, form))

    for path in MEMBERS:
        client.ask(load.request(application.port, GET, path, cookies))
    for path in ("/auth/passkeys/creation-options", "/auth/sso/acme", "/auth/export"):
        post(path, {})
    post("/auth/two-factor/set-up", {"code": "123456"})
    name = f"new{next(bench.numbers)}"
    for path, form in (
        (application.register, application.registration_form(name)),
        (application.reset, {"email": f"{name}@example.com"}),
        ("/auth/magic-link", {"email": f"{name}@example.com"}),
    ):
        client.ask(bench.form(application, path, form))


def storm(bench):
    """Request the home page twenty times a second, while 50 clients log in as fast as they can."""
    for number, application in bench.turns():
        if number == 2:
            return
        home = bench.get(application, "/", bench.cookies(application))
        server, numbers = bench.server(application), itertools.count()
        before = server.cpu()
        forms = (bench.log_in(application) for _ in numbers)
        with load.Background(application.port, home) as looking:
            run = load.run(application.port, load.for_seconds(forms, bench.count(STORM_LASTS)), STORM)
        cpu, times = server.cpu() - before, sorted(looking.seconds)
        done = run.statuses.count(302)
        assert set(looking.statuses) == {200}, Counter(looking.statuses)
        bench.statuses["login in the storm", application.name].update(run.statuses)
        is_usual = set(run.statuses) <= {302, 503}
        assert is_usual or application.name != "flasky", Counter(run.statuses)  # the table shows a peer's errors
        p50, p99 = (1000 * times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))
        bench.figures["home in a storm of logins"][application.name].append(Sample(0, 0, p50, p99))
        bench.figures["login in the storm"][application.name].append(
            Sample(1000 * cpu / done, done / run.clock, *(1000 * run.percentile(share) for share in (0.5, 0.99)))
        )


def queries(bench):
    """Count the statements that PostgreSQL logs for a page, except those that begin or end a transaction."""
    if not hasattr(bench.database, "log"):
        return
    for application in bench.applications:
        bench.database.server.psql(f"ALTER DATABASE \"{application.name}\" SET log_statement = 'all'")
        bench.start_anew(application)
        cookies = bench.cookies(application)
        asked = {
            "home, logged in": bench.get(application, "/", cookies),
            "home, a visitor": bench.get(application, "/"),
            "login page": bench.get(application, application.login),
            "login": bench.log_in(application),
        }
        for what, request in asked.items():
            for _ in range(4):  # the first request of a worker may load something
                load.Connection(application.port).ask(request)
            time.sleep(0.3)
            before = len(bench.database.log.read_text(errors="replace"))
            load.Connection(application.port).ask(request)
            time.sleep(0.3)
            said = bench.database.log.read_text(errors="replace")[before:]
            found = re.findall(r"(?:statement|execute [^:]+):\s+(SELECT|INSERT|UPDATE|DELETE)", said)
            bench.notes["queries", application.name, what] = len(found)
        bench.database.server.psql(f'ALTER DATABASE "{application.name}" RESET log_statement')
        bench.stop(application)


def browser(bench):
    """Measure a browser's requests and bytes for the login page, for the first and the second visit."""
    from shutil import which

    from playwright.sync_api import sync_playwright

    found = which("chromium-headless-shell")
    options = {"executable_path": found, "args": ["--no-sandbox"]} if found else {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**options)
        for application in bench.applications:
            bench.server(application)
            context = chromium.new_context(extra_http_headers={"X-Forwarded-Proto": "https"})
            page = context.new_page()
            session, sizes = context.new_cdp_session(page), []
            session.send("Network.enable")
            session.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
            for time_ in ("cold", "warm"):
                sizes.clear()
                page.goto(f"http://localhost:{application.port}{application.login}", wait_until="networkidle")
                bench.notes["browser", application.name, time_] = (sum(size > 0 for size in sizes), sum(sizes))
            context.close()
        chromium.close()


def outbox(bench):
    """Measure the delivery of waiting emails by one and by four `flask mail worker` processes."""
    flasky = next(application for application in bench.applications if application.name == "flasky")
    bench.stop(flasky)
    for workers in (1, 4):
        count, before = bench.count(1000), len(bench.post.received)
        flasky.command([flasky.python, "bench/people.py", str(count), "emails"])
        begun = [Running(flasky, bench.log(flasky), ["flask", "mail", "worker"]) for _ in range(workers)]
        try:
            wait_until(lambda: len(bench.post.received) > before, 60)  # noqa: B023
            first, at = len(bench.post.received), time.perf_counter()
            wait_until(lambda: len(bench.post.received) >= before + count, 120)  # noqa: B023
            rate = (len(bench.post.received) - first) / (time.perf_counter() - at)
        finally:
            for worker in begun:
                worker.stop()
        bench.notes["emails per second", workers] = rate


def hostile(bench):
    """Measure what a stranger can make each route of this application cost: bench/hostile.py."""
    if hasattr(bench.database, "log"):  # SQLite doesn't say what it writes
        bench.notes["hostile"] = hostile_requests.measure(bench)


PARTS = {
    part.__name__.replace("_", "-"): part
    for part in (start, pages, log_in, registration, reset, storm, browser, outbox, memory, queries, hostile)
}
