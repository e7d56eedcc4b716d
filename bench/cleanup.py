"""Measure batches of cleanup, and the latency of emails meanwhile: `python bench/cleanup.py postgresql`, or `sqlite`.

A million sessions, audit events and emails each have expired, and 2,000 accounts are due. One process delivers and
cleans up, like a web process. This takes minutes, and writes only to a temporary folder.
"""

import logging
import secrets
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import event, text

sys.path.insert(0, str(Path(__file__).parent.parent))

from emails import Post
from servers import Postgresql, Sqlite

EVERY = 0.25  # seconds between two emails
CALM = 30  # seconds for which the usual latency is measured
OLD = "2020-01-01 00:00:00"  # the time of the first row; each further row is a second younger

# Columns and values, in the SQL of both databases: {n} is the row's number, {at} its time.
ROWS = {
    "user_sessions": {
        "id": "'session' || {n}", "user_id": "1", "method": "'password'", "remembered": "{no}", "ip": "'192.0.2.7'",
        "user_agent": "'Mozilla/5.0'", "created_at": "{at}", "last_seen_at": "{at}", "expires_at": "{at}",
    },
    "audit_events": {
        "user_id": "1", "action": "'logged_in'", "at": "{at}", "ip": "'192.0.2.7'", "network": "'192.0.2.7'",
        "user_agent": "'Mozilla/5.0'", "detail": "'{{}}'",
    },
    "outbox": {
        "name": "'reset'", "recipient": "'ada@example.com'", "recipient_key": "'ada@example.com'", "user_id": "1",
        "details": "'{{}}'", "message_id": "'<' || {n} || '@example.com>'", "status": "'sent'", "attempts": "1",
        "error": "''", "created_at": "{at}", "due_at": "{at}", "done_at": "{at}",
    },
    "users": {
        "email": "'leaving' || {n} || '@example.com'", "email_key": "'leaving' || {n} || '@example.com'",
        "username": "'leaving' || {n}", "username_key": "'leaving' || {n}", "password_version": "1",
        "confirmed": "{yes}", "created_at": "{at}", "deletion_due_at": "{at}",
    },
}  # fmt: skip


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("database", choices=["postgresql", "sqlite"])
    parser.add_argument("--rows", type=int, default=1_000_000, help="expired rows in each of three tables")
    parser.add_argument("--accounts", type=int, default=2_000, help="to be deleted")
    parser.add_argument("--mail", type=float, default=0.02, help="seconds that the mail server takes for an email")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flasky-bench-") as folder, Post() as post:
        database = (Sqlite if wanted.database == "sqlite" else Postgresql)(Path(folder))
        post.pause = wanted.mail
        try:
            with _app(database.make("cleanup"), post.port).app_context():
                _measure(database, post, wanted)
        finally:
            database.stop()


def _app(url, port):
    from app import create_app

    settings = {"SQLALCHEMY_DATABASE_URI": url, "SECRET_KEY": secrets.token_hex(), "PUBLIC_URL": "https://localhost"}
    return create_app("production", MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_USE_TLS=False, **settings)


def _measure(database, post, wanted):
    from flask import current_app

    from app.accounts import cleanup
    from app.email.worker import Delivery
    from app.extensions import db
    from app.models import User

    logging.getLogger().setLevel(logging.WARNING)
    _fill(wanted)
    print(f"{database.version}: {wanted.rows:,} rows in each of three tables, {wanted.accounts:,} accounts")
    ada = db.session.scalar(db.select(User).where(User.username == "ada"))
    app, batches = current_app._get_current_object(), _watch(db.engine)
    delivery = Delivery(app, cleanup=lambda stopped: None)
    delivery.start()
    _say("usual latency of an email", _latencies(ada, post, until=time.monotonic() + CALM))
    delivery.stop(wait=10)

    delivery, begun = Delivery(app, cleanup.run_due), time.monotonic()
    delivery.start()
    _say("meanwhile", _latencies(ada, post, done=lambda: _finished(db) >= len(cleanup.registered)))
    print(f"all jobs: {time.monotonic() - begun:.0f} s")
    _say("usual latency again", _latencies(ada, post, until=time.monotonic() + CALM))
    delivery.stop(wait=10)
    for table, times in batches.items():
        tenth = max(1, len(times) // 10)
        first, last = (1000 * median(part) for part in (times[:tenth], times[-tenth:]))
        print(f"{table:14} {len(times):5} batches: first tenth {first:.1f} ms, last tenth {last:.1f} ms, longest "
              f"{1000 * max(times):.0f} ms")  # fmt: skip


def _fill(wanted):
    from flask_migrate import upgrade

    from app.extensions import db
    from app.models import User

    upgrade()
    db.session.add(User(username="ada", email="ada@example.com", confirmed=True))
    db.session.commit()
    is_sqlite = db.engine.dialect.name == "sqlite"
    if is_sqlite:
        numbers = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) SELECT n FROM c)"
        terms = {"no": "0", "yes": "1", "at": f"datetime('{OLD}', n || ' seconds') || '.000000'"}
    else:
        numbers = "generate_series(1, {}) AS numbers(n)"
        terms = {"no": "false", "yes": "true", "at": f"timestamptz '{OLD}Z' + n * interval '1 second'"}
    with db.engine.connect() as connection:
        if not is_sqlite:
            connection.execute(text("SET statement_timeout = 0"))
        for table, columns in ROWS.items():
            values = ", ".join(columns.values()).format(n="n", **terms)
            rows = numbers.format(wanted.accounts if table == "users" else wanted.rows)
            connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {rows}")
        connection.commit()
    if not is_sqlite:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))


def _watch(engine):
    """Record the duration of each transaction of the cleanup thread, by the table that it deletes from."""
    batches, local = defaultdict(list), threading.local()

    def begin(connection):
        local.began, local.table = time.monotonic(), None

    def see(connection, cursor, statement, *_):
        if statement.startswith("DELETE FROM "):
            local.table = statement.split()[2]  # the last one of an account is users

    def commit(connection):
        if threading.current_thread().name == "cleanup" and getattr(local, "table", None):
            local.ends = local.table

    def back(connection, record):
        if table := getattr(local, "ends", None):
            batches[table].append(time.monotonic() - local.began)
            local.ends = None

    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", see)
    event.listen(engine, "commit", commit)
    event.listen(engine, "checkin", back)
    return batches


def _latencies(user, post, until=None, done=None):
    """Enqueue emails one after another, and return how long each took to arrive."""
    from app.email import outbox
    from app.email.templates import Email
    from app.extensions import db

    taken, number = [], 0
    while time.monotonic() < until if until else not done():
        number, begun = number + 1, time.monotonic()
        address = f"{'calm' if until else 'busy'}{number}@example.com"
        outbox.enqueue(Email.PASSWORD_CHANGED, user, to=address)
        db.session.commit()
        while address not in post.received[-200:]:
            time.sleep(0.002)
        taken.append(time.monotonic() - begun)
        time.sleep(max(0, EVERY - taken[-1]))
    return taken


def _finished(db):
    db.session.rollback()
    return db.session.scalar(text("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL"))


def _say(what, seconds):
    ninety_nine = quantiles(seconds, n=100, method="inclusive")[-1]
    print(f"{what}: {1000 * median(seconds):.0f} ms in the middle, {1000 * ninety_nine:.0f} ms 99 of 100, "
          f"{1000 * max(seconds):.0f} ms at most, of {len(seconds)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
