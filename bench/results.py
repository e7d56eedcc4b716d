"""Write the figures and the reached goals to RESULTS.md, which keeps the latest run of each kind."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from goals import MOST_ADMINISTERED, allowed, goals, goals_of_scale, middle, ratio
from servers import APPLICATIONS, BENCH

SHOWN = 10  # routes
FILE = BENCH / "RESULTS.md"
HOW_TO_READ = """# What it costs

Written by `make bench` (with `SQLITE=1`, too) and `make bench-scale`; never by hand. Only ratios within one run count:
machines differ, and one machine differs from hour to hour. All applications run under gunicorn with two processes of 64
threads on one machine, with as many people, and take turns; a figure is the median of the rounds, a ratio the median of
the rounds' ratios.

- **CPU ms** is what the processes of the server work for one request; database and clients are not in it.
- **×** is the ratio to the limit: bare Flask that asks the database once for who is logged in, renders one small
  template, and at login does nothing but check the password.
- Pages are asked for by 4 clients over connections that are kept; forms are sent by a new browser each.
- The peers are small applications of ours on their packages, with their own pages and their own choice of a hash; what
  the hash of each costs alone stands beside its login.
- A login page's bytes are those that gunicorn sends, without what a proxy may compress.
- For "What a stranger can make it cost", each route gets one request at a time: what a person would send, and then 50
  to 90 requests that some code takes long for. What seems to cost much is measured again; the least counts.

Why a goal is not reached, by a profile: docs/performance.md.
"""


def of_comparison(bench):
    blocks = [_table(bench), _hashes(bench), _notes(bench), _hostile(bench), _goals(goals(bench))]
    return "\n".join(block for block in blocks if block)


def of_scale(figures, sizes_on_disk, long):
    rows = [
        "| | people | CPU ms | × the fewest | PostgreSQL, CPU ms | ms, p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, by_size in figures.items():
        sizes = sorted((int(name.removeprefix("people")), samples) for name, samples in by_size.items())
        for size, samples in sizes:
            growth = ratio(samples, sizes[0][1], "cpu")
            cells = [middle(samples, "cpu"), growth, *(middle(samples, name) for name in ("database", "p50", "p99"))]
            rows.append(f"| {what} | {size:,} | " + " | ".join(map(_number, cells)) + " |")
    on_disk = ", ".join(f"{size / 2**30:.2f} GiB with {people:,}" for people, size in sorted(sizes_on_disk.items()))
    most = min(MOST_ADMINISTERED, max(sizes_on_disk))
    notes = [
        f"On disk, with indexes: {on_disk} people. Administration pages: the costliest search or filter of each.",
        f"Queries of these pages that read more than 10,000 rows, with {most:,} people:",
    ]
    return "\n".join([*rows, "", notes[0], "", _goals(goals_of_scale(figures)), notes[1], "", long])


def about(database, wanted, seconds):
    """Return the date, versions and machine of a run."""
    git = re.sub(r"\s", "", os.popen(f"git -C {BENCH} rev-parse --short HEAD 2>/dev/null").read())
    peers = [f"{name} {_version(venv, name)}" for venv, name in
             (("flask-security", "flask_security"), ("allauth", "django_allauth"), ("allauth", "django"))]  # fmt: skip
    own = [f"{name} {version(name)}" for name in ("Flask", "SQLAlchemy", "gunicorn")]
    return (
        f"{datetime.now(UTC):%-d %B %Y}, commit {git}; {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, {database}, {', '.join(own + peers)}; {wanted.rounds} rounds, "
        f"{seconds / 60:.0f} minutes; load of the machine at the end {os.getloadavg()[0]:.1f}.\n"
    )


def write(kind, about, words):
    """Replace the chapter of this kind in RESULTS.md."""
    titles = {"main": "On PostgreSQL", "sqlite": "On SQLite", "scale": "With more people"}
    text = FILE.read_text() if FILE.exists() else HOW_TO_READ
    _, *chapters = re.split(r"(?m)^## ", text)
    kept = dict(chapter.split("\n", 1) for chapter in chapters)
    kept[titles[kind]] = f"\n{about}\n{words.strip()}\n\n"
    found = [f"## {title}\n{kept[title].rstrip()}\n" for title in titles.values() if title in kept]
    FILE.write_text("\n".join([HOW_TO_READ, *found]))


def _table(bench):
    if not bench.figures:
        return ""
    rows = ["| | | CPU ms | × limit | per second | ms, p50 | p99 |", "|---|---|---|---|---|---|---|"]
    for what, by_name in bench.figures.items():
        for application in APPLICATIONS:
            if samples := by_name.get(application.name):
                times = ratio(samples, by_name["limit"], "cpu") if "limit" in by_name else float("nan")
                cells = [middle(samples, "cpu"), times, *(middle(samples, name) for name in ("rate", "p50", "p99"))]
                statuses = {status for status in bench.statuses[what, application.name] if status >= 500}
                label = application.label + (f" (answers {', '.join(map(str, statuses))})" if statuses else "")
                rows.append(f"| {what} | {label} | " + " | ".join(map(_number, cells)) + " |")
    return "\n".join([*rows, ""])


def _hashes(bench):
    rows = []
    for application in APPLICATIONS:
        if raw := bench.notes.get(("raw hash", application.name)):
            cells = [f"{1000 * median(cpu for cpu, _ in raw):.0f}", f"{median(rate for _, rate in raw):.1f}"]
            pairs = [(clients, what) for clients in (4, 16) for what in ("cpu", "rate")]
            cells += [f"{allowed(bench, application, *pair):.2f}" for pair in pairs]
            algorithm = application.hash.split("$")[0] or "argon2id"
            rows.append(f"| {application.label} | {algorithm} | {' | '.join(cells)} |")
    head = "| login ÷ what its hash allows | hash | alone, ms | a second | CPU, 4 clients | clock | CPU, 16 | clock |"
    return "\n".join([head, "|---" * 8 + "|", *rows, ""]) if rows else ""


def _notes(bench):
    """Return the figures that have no rounds, one row for each application."""
    rows, notes = [], bench.notes
    for application in APPLICATIONS:
        name, cells = application.name, []
        if times := notes.get(("start", name)):
            cpu, clock = (median(column) for column in zip(*times, strict=True))
            cells += [f"{clock:.2f} s until both workers answer, {cpu:.2f} s of CPU"]
        if sizes := notes.get(("memory", name)):
            least, most = min(sizes), max(sizes)
            cells += [f"{median(sizes):.0f} MiB a worker after pages and logins ({least:.0f} to {most:.0f})"]
        if size := notes.get(("memory, every flow", name)):
            cells += [f"{size:.0f} MiB after every flow"]
        if cold := notes.get(("browser", name, "cold")):
            warm = notes["browser", name, "warm"]
            cells += [f"login page in a browser: {_sent(cold)} cold, {_sent(warm)} warm"]
        asked = {key[2]: count for key, count in notes.items() if key[:2] == ("queries", name)}
        if asked:
            cells += ["queries: " + ", ".join(f"{what} {count}" for what, count in asked.items())]
        if ("emails lost", name) in notes:
            cells += [f"emails of registrations: {notes['emails lost', name]} of {notes['emails owed', name]} lost"]
        rows += [f"- {application.label}: {'; '.join(cells)}."] if cells else []
    rates = {key[1]: rate for key, rate in notes.items() if key[0] == "emails per second"}
    if rates:
        rows += [f"- emails per second: {', '.join(f'{rate:.0f} with {n} workers' for n, rate in rates.items())}."]
    return "\n".join([*rows, ""]) if rows else ""


def _hostile(bench):
    """Return the routes whose hostile requests cost the most, compared with ordinary ones."""
    if not (worst := bench.notes.get("hostile")):
        return ""
    asked = sum(one.asked for one in worst)
    rows = ["### What a stranger can make it cost", "", f"{len(worst)} routes, {asked} requests. The worst by CPU:", ""]
    rows += ["| | ordinary, CPU ms | hostile | × | request |", "|---|---|---|---|---|"]
    for one in sorted(worst, key=lambda one: -one.times("cpu"))[:SHOWN]:
        cells = [one.ordinary.cpu, one.cpu[0], one.times("cpu")]
        rows += [f"| {one.route} | {' | '.join(map(_number, cells))} | {one.cpu[1]} |"]
    for name, what in (("written", "PostgreSQL writes"), ("logged", "the log gets")):
        most = max(worst, key=lambda one: getattr(one, name)[0])
        cost, kind = getattr(most, name)
        usual = getattr(most.ordinary, name)
        rows += ["", f"The most that {what} is {cost} bytes (ordinary: {usual}): {most.route}, {kind}."]
    most = max(worst, key=lambda one: one.rows)
    return "\n".join([*rows, "", f"The most rows that a request leaves are {most.rows:.1f}: {most.route}.", ""])


def _sent(requests_and_bytes):
    requests, size = requests_and_bytes
    return f"{requests} requests, {size / 1000:.1f} KB"


def _number(value):
    return "" if value != value or value == 0 else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def _goals(found):
    """Return the table of goals for which this run has figures."""
    rows = [f"| {words} | {_number(value) or '0'} | {goal} | {'yes' if is_reached else '**no**'} |"
            for words, value, goal, is_reached in found]  # fmt: skip
    head = ["| goal | measured | at most or at least | reached |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""]) if rows else ""


def _version(venv, name):
    found = list(Path(BENCH, f".venv-{venv}", "lib").glob(f"python3.*/site-packages/{name}-*.dist-info"))
    return found[0].name.removeprefix(f"{name}-").removesuffix(".dist-info") if found else "?"
