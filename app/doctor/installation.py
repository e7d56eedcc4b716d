"""Checks of settings, database, outbox and cleanup jobs."""

import os
import re
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from flask import current_app
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock, orphans, schema, switches
from app.accounts import jobs as runner
from app.accounts import personal_data
from app.accounts.cleanup import UNREADABLE
from app.doctor import database_errors, disks
from app.doctor.findings import Finding, Severity, Skipped, explained, from_sentences, recommendation
from app.email import bounces
from app.extensions import db
from app.models import Authenticator, OutboxEmail, User
from app.models.outbox_email import Status
from config import Config, Production
from settings.environment import PROJECT

LATE = timedelta(minutes=5)  # an email usually waits for seconds
MANY, MANY_PART = 20, 0.05  # failed emails; a few bounces are usual
OVERDUE = 2  # intervals
SECRETS = re.compile(r"^[^#\n]*(SECRET|PASSWORD|DATABASE_URL)", re.MULTILINE)  # lines of .env
WEEK = timedelta(days=7)
# Amazon SES reviews accounts above these shares; of fewer emails than ENOUGH, a share says little.
MAX_BOUNCED, MAX_COMPLAINED, ENOUGH = 0.05, 0.001, 100
OLDEST_POSTGRESQL = 15  # the oldest version that was tested


def settings() -> Iterator[Finding]:
    """Check for settings that production refuses, and for unsafe ones."""
    if current_app.config["CONFIG_NAME"] != "production":
        values = {name: getattr(Production, name) for name in dir(Production) if name.isupper()}
        for sentence in Production.problems(values):
            yield from_sentences(f"For production: {sentence}", Severity.RECOMMENDATION)
    elif _shows_secrets(file := PROJECT / ".env"):
        yield Finding(f"Every user of this machine can read the secrets in {file}.", f"Run: chmod o= {file}")
    yield from map(from_sentences, Config.mistyped())
    if not _processes():
        yield Finding("WEB_CONCURRENCY is not a number, so gunicorn can't start.", "Set it to one, such as 2.")
    if not current_app.config["RATELIMIT_ENABLED"]:
        yield Finding("RATELIMIT_ENABLED is 0: passwords can be guessed without limit.", "Remove it.")
    if current_app.config["MAIL_DELIVERY"] == "off":
        yield Finding("MAIL_DELIVERY is off: emails wait until you run flask mail worker.", "Set thread or worker.")
    if not current_app.config["VERIFY_NEW_DEVICES"] and switches.is_on("password"):
        advice = "A stolen password then can't log in on a new device."
        yield recommendation("Recommended: VERIFY_NEW_DEVICES=1.", advice)


def _shows_secrets(file: Path) -> bool:
    is_open = os.name == "posix" and file.exists() and file.stat().st_mode & stat.S_IROTH
    return bool(is_open and SECRETS.search(file.read_text("utf-8", "replace")))


def database() -> Iterator[Finding]:
    """Check the tables and their migrations."""
    missing = personal_data.unregistered()
    for name, path in missing.items():
        yield Finding(f"The table {name} holds personal data ({path}).", "Register it: personal_data.register()")
    yield from map(from_sentences, [] if missing else personal_data.blocking())
    yield from map(from_sentences, schema.duplicate_revisions())
    try:
        yield from _tables()
    except SQLAlchemyError as error:
        yield database_errors.explain(error)


def _tables() -> Iterator[Finding]:
    if problem := schema.problem():
        yield from_sentences(problem)
    elif several := schema.several_heads():
        yield from_sentences(f"Recommended: {several}", Severity.RECOMMENDATION)
    if unwritable := disks.unwritable_database():
        yield unwritable
    yield from _connections()
    version = db.engine.dialect.server_version_info or ()
    if db.engine.name == "postgresql" and version < (OLDEST_POSTGRESQL,):
        yield Finding(f"PostgreSQL is older than {OLDEST_POSTGRESQL}, the oldest that was tested.", "Upgrade it.")
    had_two_factor = select(func.count()).where(User.two_factor_enabled_at.is_not(None))
    if not switches.is_on("two_factor") and (count := db.session.scalar(had_two_factor)):
        yield recommendation(f"TWO_FACTOR=0 turns off two-factor authentication for {count} accounts that use it.")


def foreign_keys() -> Iterator[Finding]:
    """Check for rows without a parent. SQLite reads all tables for that."""
    if missing := orphans.count(db.session.connection()):
        yield Finding(f"{orphans.in_words(missing)}.", orphans.ADVICE)


def _connections() -> Iterator[Finding]:
    """Check whether the pools of all processes of this machine fit into PostgreSQL."""
    if db.engine.name != "postgresql":
        return
    engines = current_app.config["SQLALCHEMY_BINDS"]
    pools = [current_app.config["SQLALCHEMY_ENGINE_OPTIONS"], engines["rate_limits"], engines["lookups"]]
    most = _processes() * sum(pool.get("pool_size", 5) + pool.get("max_overflow", 10) for pool in pools)
    limit = db.session.scalar(text("SELECT current_setting('max_connections')::int")) or 0
    if most > limit:
        cause = f"{_processes()} processes may open {most} connections, but PostgreSQL accepts {limit}."
        yield recommendation(cause, "Lower WEB_CONCURRENCY, raise max_connections, or use PgBouncer.")


def _processes() -> int:
    """Return the number of processes as gunicorn.conf.py reads it, or 0 if it is not a number."""
    count = os.environ.get("WEB_CONCURRENCY") or "2"
    return int(count) if count.isdecimal() else 0


def outbox() -> Iterator[Finding]:
    """Check for emails that wait longer than usual, and for many that failed."""
    due = (OutboxEmail.status == Status.WAITING, OutboxEmail.created_at < clock.now() - LATE)
    count, oldest = db.session.execute(select(func.count(), func.min(OutboxEmail.created_at)).where(*due)).one()
    if count:
        age = str(clock.now() - oldest).partition(".")[0]
        process = "flask mail worker" if current_app.config["MAIL_DELIVERY"] == "worker" else "the application"
        advice = f"Is {process} running? To see the attempts: flask mail list"
        yield Finding(f"{count} emails wait, the oldest for {age}.", advice)
    sent, bounced, complained, failed = bounces.counts(WEEK)
    if bounced or complained:
        came_back = f"{bounced} of {sent} emails of the last week came back, and {complained} were reported as spam."
        is_much = bounced > MAX_BOUNCED * sent or complained > MAX_COMPLAINED * sent
        advice = "With too many, providers stop accepting emails. To see them: flask mail list --all"
        yield Finding(came_back, advice, Severity.PROBLEM if is_much and sent >= ENOUGH else Severity.RECOMMENDATION)
    if failed > max(MANY, (sent + failed) * MANY_PART):
        yield _failed_emails(failed, sent + failed)


def _failed_emails(count: int, total: int) -> Finding:
    """Report the usual answer of the mail server, which refused many emails within a week."""
    failed = (OutboxEmail.done_at > clock.now() - WEEK, OutboxEmail.status == Status.FAILED)
    usual = select(OutboxEmail.error).where(*failed).group_by(OutboxEmail.error).order_by(func.count().desc())
    answer = db.session.scalar(usual.limit(1)) or ""
    cause = f"{count} of {total} emails failed within a week, most of them with: {answer or 'no answer'}."
    return explained(cause, answer, "Then: flask mail retry --all")


def authenticator_apps() -> Iterator[Finding]:
    """Check for secrets that were encrypted with a key that is no longer set."""
    if not switches.is_on("two_factor"):
        raise Skipped("TWO_FACTOR is 0")
    if count := Authenticator.count_unreadable():
        advice = "Add their key to SECRET_KEY_FALLBACKS. If it is lost, see docs/rotation.md."
        yield Finding(UNREADABLE.format(count), advice)


def jobs() -> Iterator[Finding]:
    """Check for jobs that failed or have not finished for two of their intervals."""
    since = db.session.scalar(select(User.created_at).order_by(User.id).limit(1))
    for state in runner.states():
        yield from _job(state, since or clock.now())


def _job(job: runner.State, since: datetime) -> Iterator[Finding]:
    if job.failed_at:
        failed_at = f"{job.failed_at:%Y-%m-%d %H:%M} UTC"
        yield Finding(f"{job.name} failed on {failed_at}: {job.error}.", f"To try again: flask jobs run {job.name}")
    elif (job.finished_at or since) < clock.now() - OVERDUE * job.every:
        last = f"has not finished since {job.finished_at:%Y-%m-%d}" if job.finished_at else "has never finished"
        question = {
            "thread": "Is the application running?",
            "worker": "Is flask mail worker running?",
            "off": "MAIL_DELIVERY is off: call flask jobs run from cron.",
        }[current_app.config["MAIL_DELIVERY"]]
        yield Finding(f"{job.name} {last}.", f"{question} To run it now: flask jobs run {job.name}")
