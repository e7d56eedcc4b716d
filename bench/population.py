"""Create the people of a site that is two years old, with a year of audit events, emails, invitations and blocks.

`python population.py N` creates the tables and N people, and prints the hash of their password. Every tenth person logs
in as people.py describes it; the others are in the states that administrators look for. The first person is an
administrator with two-factor authentication, whom `python population.py reauthenticate` lets into the administration
pages for 15 minutes.
"""

import sys
from datetime import timedelta

import people
from people import NOW
from sqlalchemy import text

STATE = ["role_name", "deactivated_at", "two_factor_enabled_at", "deletion_due_at"]
NAMES = "ann bob chris émile jürgen maría olga 陳 mohammed Zoë".split()
DOMAINS = "example.com mail.example example.org example.net".split()
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
MOST_EVENTS = 10_000_000

# For each person so many rows, evenly over so many days, and the values of their columns in the SQL of both databases.
# n is the row's number from 1; {at} is its time, {who} a user's id, {last} the midnight before.
ROWS = {
    "audit_events": (5, 365, {
        "user_id": "{who}", "at": "{at}", "ip": "{ip}", "network": "{ip}", "user_agent": f"'{AGENT}'",
        "action": "CASE WHEN n % 100000 = 1 THEN 'deactivated' WHEN n % 1000 = 2 THEN 'exported' "
                  "WHEN n % 10 < 7 THEN 'logged_in' WHEN n % 10 < 9 THEN 'login_failed' "
                  "WHEN n % 20 = 9 THEN 'registered' ELSE 'confirmed' END",
        "detail": """'{{"method": "password"}}'""", "key": "CASE WHEN n % 10 IN (7, 8) THEN 'k' || n END",
    }),
    "outbox": (0.2, 30, {
        "name": "CASE WHEN n % 10000 = 1 THEN 'goodbye' WHEN n % 3 = 0 THEN 'reset' ELSE 'confirm' END",
        "recipient": "{address}", "recipient_key": "{address}", "user_id": "{who}", "details": "'{{}}'",
        "message_id": "'<' || n || '@example.com>'", "attempts": "1",
        "status": "CASE WHEN n % 10000 = 1 THEN 'complained' WHEN n % 100 = 2 THEN 'bounced' "
                  "WHEN n % 200 = 3 THEN 'failed' WHEN n % 5000 = 4 THEN 'waiting' ELSE 'sent' END",
        "error": "CASE WHEN n % 100 < 4 THEN '550 5.1.1 No such user' ELSE '' END",
        "created_at": "{at}", "due_at": "{at}", "done_at": "CASE WHEN n % 5000 <> 4 THEN {at} END",
    }),
    "account_invitations": (0.01, 365, {
        "email": "'guest' || n || '@example.com'", "email_key": "'guest' || n || '@example.com'", "role_name": "'user'",
        "actor": "'administrator'", "invited_by_id": "1", "created_at": "{at}", "expires_at": "{at}",
        "accepted_at": "CASE WHEN n % 2 = 0 THEN {at} END",
    }),
    "blocks": (0.001, 365, {
        "subject": "'spam' || n || '.example'", "key": "'spam' || n || '.example'", "reason": "'They send spam.'",
        "created_at": "{at}", "created_by_id": "1",
    }),
}  # fmt: skip
TERMS = {
    "who": "(1 + n * 7919 % {people})",
    "address": "'person' || (n * 7919 % {people}) || CASE WHEN n % 5 = 0 THEN '@mail.example' ELSE '@example.com' END",
    "ip": "'10.' || (n % 200) || '.' || (n % 239) || '.' || (n % 251)",
}
SERIES = "generate_series(1, CAST({count} AS bigint)) AS numbers(n)"
SERIES_OF_SQLITE = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c)"
AGO_IN_SQLITE = "printf('-%.3f seconds', ({count} - n) * {step})"
DIALECTS = {
    "postgresql": {"rows": SERIES, "at": "now() - ({count} - n) * interval '{step} s'"},
    "sqlite": {"rows": SERIES_OF_SQLITE, "at": f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {AGO_IN_SQLITE})"},
}


def main(count):
    from app import create_app
    from app.extensions import db

    with create_app().app_context():
        if count == "reauthenticate":
            _reauthenticate(db)
        else:
            count = int(count)
            hashed = people.make(count, lambda number, hashed: person(number, hashed, count), people.USERS + STATE)
            fill(db, count)
            print(hashed)


def person(number, hashed, count):
    """Return the columns of a person, who was created up to two years ago, the last one now."""
    age = timedelta(days=730) * (1 - number / count)
    if number % 10 == 0:
        state = ("administrator", None, NOW, None) if number == 0 else ("user", None, None, None)
        return *people.person(number, hashed)[:-1], NOW - age, *state
    name = f"{NAMES[number % 7]}{number}" if number % 3 else f"{NAMES[number % 10]}.{number}"
    email = f"{name if name.isascii() else f'person{number}'}@{DOMAINS[number % 4]}"
    role = "moderator" if number % 50_000 == 5 else "user"
    ended = (number % 100 == 2, number % 20 == 3, number % 1000 == 4)  # deactivated, two-factor, to be deleted
    state = (role, *(NOW if is_so else None for is_so in ended))
    row = (number + 1, email, email.lower(), name, name.lower(), hashed, 1, number % 5, number % 10 != 1, NOW - age)
    return *row, *state


def fill(db, size):
    """Add what so many people have left."""
    from app.accounts import statistics
    from app.models import DailyCount

    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SET session_replication_role = replica"))  # no checks of foreign keys
        for table, (each, days, columns) in ROWS.items():
            count = min(MOST_EVENTS, int(each * size))
            terms = {"count": count, "step": days * 86400 / count, "people": size}
            terms = {name: term.format(**terms) for name, term in (TERMS | DIALECTS[connection.dialect.name]).items()}
            values = ", ".join(columns.values()).format(**terms)
            names = ", ".join(columns)
            connection.execute(text(f"INSERT INTO {table} ({names}) SELECT {values} FROM {terms['rows']}"))
        connection.execute(text("ANALYZE" if is_sqlite else "VACUUM ANALYZE"))
        if not is_sqlite:
            connection.execute(text("RESET ALL"))
    today = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (today - timedelta(days=back) for back in range(1, 366))
    names = [*statistics.Measure, "logged_in:password"]
    db.session.add_all(DailyCount(day=day, name=name, count=size // 365) for day in days for name in names)
    db.session.commit()


def _reauthenticate(db):
    from app.models import UserSession

    db.session.get_one(UserSession, people.session_id(0)).authenticated_at = NOW
    db.session.commit()


if __name__ == "__main__":
    main(sys.argv[1])
