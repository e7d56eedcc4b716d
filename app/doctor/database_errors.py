"""What an error of the database means, and what to do about it, for commands, `flask doctor` and /readyz."""

import re

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app import schema
from app.doctor import disks
from app.doctor.findings import Finding
from app.extensions import db

# The first pattern that an error has, in any case, explains it: SQLite's text, or PostgreSQL's code and text.
REMEDIES = [
    (r"^53100|disk is full|disk I/O error", "Make room on the disk of the database."),
    (r"^25006", disks.NAME_THE_PRIMARY),
    (r"readonly database", "Let this user write to its file and folder. Is its disk mounted read-only?"),
    (r"database is locked|^55P03|^57014", "Something else holds a lock for long. Try again later."),
    (r"^42501", "Give the role in DATABASE_URL this right (GRANT), or let it own the tables."),
    (r'role ".*" does not exist', "Create the role, or correct the one in DATABASE_URL."),
    (r'database ".*" does not exist', "Create the database, or correct its name in DATABASE_URL."),
    (r"authentication failed|no password supplied|pg_hba", "Are role and password in DATABASE_URL right?"),
    (r"^53300|too many clients|connection slots", "Lower WEB_CONCURRENCY, raise max_connections, or use PgBouncer."),
    (r"starting up|shutting down|recovery mode|^57P0", "PostgreSQL starts or stops. Try again later."),
]
NO_CONNECTION = "Is PostgreSQL running, and can this machine reach the host and the port in DATABASE_URL?"
OTHERWISE = "Is DATABASE_URL right, and has `flask db upgrade` been run?"


def explain(error: SQLAlchemyError) -> Finding:
    """Return the cause and the remedy. They contain no values of a row."""
    if not schema.is_missing(error) and (unwritable := disks.unwritable_file()):
        return unwritable
    original = getattr(error, "orig", None) or error
    first_line = str(original).partition("\n")[0].rstrip(".")
    return Finding(f"Database error: {first_line}.", _remedy(error, original))


def _remedy(error: SQLAlchemyError, original: BaseException) -> str:
    if schema.is_missing(error):
        return "Run: flask db upgrade"
    code = getattr(original, "sqlstate", None) or ""
    known = (remedy for pattern, remedy in REMEDIES if re.search(pattern, f"{code} {original}".strip(), re.IGNORECASE))
    is_lost = isinstance(error, OperationalError) and db.engine.name == "postgresql" and not code
    return next(known, NO_CONNECTION if is_lost else OTHERWISE)
