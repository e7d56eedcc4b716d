"""The goals, and the comparison of figures by medians of the rounds and of their ratios."""

from statistics import median

PEERS = ("flask_security", "allauth")
MOST_ADMINISTERED = 1_000_000  # people; with ten million, a search for one letter reaches the timeout of the database


def goals(bench):
    figures, notes = bench.figures, bench.notes

    def at_most(words, value, goal):
        return words, value, f"≤ {goal}", value <= goal

    def at_least(words, value, goal):
        return words, value, f"≥ {goal}", value >= goal

    def of(what, field="cpu", name="flasky", other="limit"):
        return ratio(figures[what][name], figures[what][other], field)

    is_sqlite = bench.database.version == "SQLite"
    if "home, logged in" in figures:
        yield at_most("home logged in, CPU × limit", of("home, logged in"), 1.3 if is_sqlite else 1.1)
        best = min(of("home, logged in", name=name) for name in PEERS)
        yield at_most("home logged in, CPU × the best peer's", of("home, logged in") / best, 0.75)
        best = min(of("home, a visitor", name=name) for name in PEERS)
        yield at_most("home of a visitor, CPU × limit", of("home, a visitor"), 2)
        yield at_most("home of a visitor, CPU × the best peer's", of("home, a visitor") / best, 1)
        yield at_most("login page, CPU × limit", of("login page"), 1.8)
    if ("raw hash", "flasky") in notes:
        for clients in (4, 16):  # 0.98: two rounds of the limit differ by as much
            mine, limit = (figures[f"login, {clients} clients"][name] for name in ("flasky", "limit"))
            yield at_least(f"logins ÷ the limit's, CPU, {clients} clients", ratio(limit, mine, "cpu"), 0.98)
            yield at_least(f"logins ÷ the limit's, clock, {clients} clients", ratio(mine, limit, "rate"), 0.98)
        wrong, unknown = (figures[f"login, {what}"]["flasky"] for what in ("wrong password", "unknown name"))
        yield at_most("wrong password ÷ unknown name, off 1, CPU", abs(ratio(wrong, unknown, "cpu") - 1), 0.03)
    if "registration, mail fast" in figures:
        fast = figures["registration, mail fast"]["flasky"]
        for mode in ("slow", "refused"):
            slow = figures[f"registration, mail {mode}"]["flasky"]
            yield at_most(f"registration, mail {mode} ÷ fast, p50", ratio(slow, fast, "p50"), 1.05)
        yield at_most("emails lost", notes["emails lost", "flasky"], 0)
    if "reset, known address" in figures:
        known, unknown = (figures[f"reset, {what} address"]["flasky"] for what in ("known", "unknown"))
        yield at_most("reset, known ÷ unknown, off 1, CPU", abs(ratio(known, unknown, "cpu") - 1), 0.03)
    if "home in a storm of logins" in figures:
        yield at_most("home p99 in the storm, ms", middle(figures["home in a storm of logins"]["flasky"], "p99"), 150)
        yield at_most("logins refused in the storm", bench.statuses["login in the storm", "flasky"][503], 0)
        if calm := figures.get("login, 16 clients"):
            kept = middle(figures["login in the storm"]["flasky"], "rate") / middle(calm["flasky"], "rate")
            yield at_least("logins per second in the storm ÷ with 16 clients", kept, 0.9)
    if ("memory", "limit") in notes:
        ours, limit = median(notes["memory", "flasky"]), median(notes["memory", "limit"])
        yield at_most("memory a worker × limit, pages and logins", ours / limit, 0.6)
        yield at_most("memory a worker × limit, every flow", notes["memory, every flow", "flasky"] / limit, 1.7)
    if ("start", "flasky") in notes:
        pairs = zip(notes["start", "flasky"], notes["start", "limit"], strict=True)
        yield at_most(
            "start until both workers answer × limit, CPU", median(cpu / own for (cpu, _), (own, _) in pairs), 1.26
        )
    if ("browser", "flasky", "cold") in notes:
        for time_, requests, size in (("cold", 3, 40), ("warm", 1, 4)):
            sent = notes["browser", "flasky", time_]
            yield at_most(f"login page {time_}, requests", sent[0], requests)
            yield at_most(f"login page {time_}, KB", sent[1] / 1000, size)
    if worst := notes.get("hostile"):
        yield at_most("hostile ÷ ordinary request, CPU, of any route", max(one.times("cpu") for one in worst), 5)
        yield at_most("and bytes that PostgreSQL writes", max(one.times("written") for one in worst), 5)
        yield at_most("and bytes of the log", max(one.times("logged") for one in worst), 5)
        yield at_most("rows that a request of any route leaves", max(one.rows for one in worst), 10)
    for what, goal in (("home, logged in", 1), ("home, a visitor", 0), ("login page", 0)):
        if ("queries", "flasky", what) in notes:
            yield at_most(f"queries, {what}", notes["queries", "flasky", what], goal)
    if ("emails per second", 1) in notes:
        yield at_least("emails a minute through one worker", 60 * notes["emails per second", 1], 2000)


def goals_of_scale(figures):
    for what, by_size in figures.items():
        sizes = sorted(by_size, key=lambda name: int(name.removeprefix("people")))
        if not what.startswith("/admin"):
            growth = max(ratio(by_size[size], by_size[sizes[0]], "cpu") for size in sizes)
            yield f"{what}, CPU × the fewest people's", growth, "≤ 1.1", growth <= 1.1
        elif million := by_size.get("people1000000"):
            cost = middle(million, "cpu") + middle(million, "database")
            yield f"{what}, a million people, CPU ms with PostgreSQL's", cost, "≤ 100", cost <= 100


def middle(samples, field):
    return median(getattr(sample, field) for sample in samples)


def ratio(samples, others, field):
    """Return the median of the ratios in each round."""
    pairs = zip(samples, others, strict=True)
    ratios = [getattr(mine, field) / getattr(other, field) for mine, other in pairs if getattr(other, field)]
    return median(ratios) if ratios else float("nan")


def allowed(bench, application, clients, what):
    """Return the ratio of logins to raw password hashes on these cores, by CPU time or by requests per second."""
    samples = bench.figures[f"login, {clients} clients"][application.name]
    pairs = zip(samples, bench.notes["raw hash", application.name], strict=True)
    return median(1000 * cpu / mine.cpu if what == "cpu" else mine.rate / rate for mine, (cpu, rate) in pairs)
