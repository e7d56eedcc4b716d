"""Create users in this application's database, on PostgreSQL by COPY, so that ten million take minutes.

`python people.py N` creates the tables and N users, and prints the hash of their password. Each user is logged in with
one browser, for which `cookie()` returns the cookie. `python people.py N emails` enqueues N emails.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import psycopg
from flask import Flask
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).parent.parent))

USERS = (
    "id email email_key username username_key password_hash password_version login_count confirmed created_at"
).split()
SESSIONS = (
    "id user_id method remembered ip user_agent device created_at last_seen_at authenticated_at expires_at".split()
)
NOW = datetime.now(UTC)


def main(count, what="people"):
    from app import create_app
    from app.email import outbox
    from app.email.templates import Email
    from app.extensions import db
    from app.models import User

    with create_app().app_context():
        if what == "people":
            print(make(count, person, USERS))
        else:
            user = User.find("person0")
            for _ in range(count):
                outbox.enqueue(Email.PASSWORD_CHANGED, user)
            db.session.commit()


def make(count, person, columns):
    """Create the tables and users, whose columns `person` returns, and return the hash of their password."""
    from flask_migrate import upgrade

    from app.extensions import db
    from app.models import User, UserSession
    from app.security.hashing import hash_password

    upgrade()
    hashed = hash_password(os.environ["PASSWORD"])
    copy = insert if db.engine.dialect.name == "sqlite" else copy_to_postgresql
    copy(db, User.__table__, columns, (person(number, hashed) for number in range(count)))
    copy(db, UserSession.__table__, SESSIONS, (browser(number) for number in range(count)))
    return hashed


def person(number, hashed):
    name = f"person{number}"
    email = f"{name}@example.com"
    return number + 1, email, email, name, name, hashed, 1, 0, True, NOW


def browser(number):
    """Return a session last seen in the future, so that no request of a benchmark writes the time."""
    times = (NOW, NOW + timedelta(hours=6), NOW, NOW + timedelta(days=6))
    return session_id(number), number + 1, "password", False, "192.0.2.7", "", "", *times


def session_id(number):
    return f"{number:043}"


def cookie(secret_key, public_url, number):
    """Return the Cookie header of a logged-in user."""
    name, signer = _session_cookie(secret_key, public_url)
    return f"{name}={signer.dumps({'_user_id': session_id(number), '_fresh': True})}"


@cache
def _session_cookie(secret_key, public_url):
    """Return the name and the signer of the session cookie."""
    from app.web.headers import SessionInterface
    from settings.derived import own_cookie_name

    app = Flask(__name__)
    app.config.update(SECRET_KEY=secret_key, PUBLIC_URL=public_url)
    return own_cookie_name("__Host-session", public_url), SessionInterface().get_signing_serializer(app)


def insert(db, table, columns, rows):
    db.session.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])
    db.session.commit()


def copy_to_postgresql(db, table, columns, rows):
    url = make_url(db.engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        with connection.cursor().copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as into:
            for row in rows:
                into.write_row(row)
        if table.name == "users":
            connection.execute("SELECT setval('users_id_seq', max(id)) FROM users")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {table.name}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
