# mypy: ignore-errors
"""`flask doctor`: what is wrong with the way this is set up, in words, and what to do about it. It changes nothing.

A check yields what it finds, a sentence each, with the remedy, and what it recommends; what is not set up is not looked
at.
"""

from datetime import timedelta

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

import config
from app import clock, schema
from app.accounts import cleanup, personal_data
from app.cli import doctor_services, orphans
from app.cli.commands import echo_database
from app.cli.doctor_services import NotLookedAt, words
from app.extensions import db
from app.models import Job, OutboxEmail, User
from app.models.outbox_email import Status

LATE = timedelta(minutes=5)  # an email's usual delay is seconds
OVERDUE = timedelta(days=2)  # jobs run once a day


class Recommended(str):
    """What could be better. Nothing is wrong without it."""


@click.command()
@with_appcontext
def doctor():
    """Say what is wrong with the set-up, and what to do; 1 at the end if there is anything."""
    echo_database()
    is_well = True
    for name, check in CHECKS.items():
        try:
            found = list(check())
        except NotLookedAt as reason:
            click.echo(f"-      {name}: {reason}")
        except Exception as error:  # it is asked when something is broken, and has to say what else is
            is_well = False
            click.echo(f"wrong  {name}\n    This could not be checked: {type(error).__name__}: {words(error)}")
        else:
            is_wrong = not all(isinstance(sentence, Recommended) for sentence in found)
            is_well = is_well and not is_wrong
            click.echo("\n    ".join([f"{'wrong' if is_wrong else 'well '}  {name}", *found]))
    if not is_well:
        raise click.exceptions.Exit(1)


def settings():
    """What production would say of them, and what it starts with, but should not."""
    if current_app.config["CONFIG_NAME"] != "production":
        values = {name: getattr(config.Production, name) for name in dir(config.Production) if name.isupper()}
        yield from (f"For production: {problem}" for problem in config.Production.problems(values))
    yield from config.Config.mistyped()
    if not current_app.config["RATELIMIT_ENABLED"]:
        yield "RATELIMIT_ENABLED is 0: passwords can be guessed without end. Take it out."
    if current_app.config["MAIL_DELIVERY"] == "off":
        yield "MAIL_DELIVERY is off: emails wait until somebody calls flask mail worker. Write thread or worker."
    if not current_app.config["VERIFY_NEW_DEVICES"]:
        yield Recommended("Recommended: VERIFY_NEW_DEVICES=1. A stolen password then logs in on no new device.")


def database():
    for name, way in personal_data.unregistered().items():
        yield f"The table {name} holds something about people ({way}). Register it: personal_data.register()"
    yield from schema.duplicate_revisions()
    try:
        problem = schema.problem()
        is_old = db.engine.name == "postgresql" and db.engine.dialect.server_version_info < (15,)
        missing = orphans.count(db.session.connection())
    except SQLAlchemyError as error:
        yield f"DATABASE_URL: {words(error)}. Is it right, and is it migrated?"
        return
    if problem:
        yield problem
    elif several := schema.several_heads():
        yield Recommended(f"Recommended: {several}")
    if is_old:
        yield "PostgreSQL is older than 15, with which this has been tried. Move to a newer one."
    if missing:
        yield f"{orphans.in_words(missing)}. {orphans.ADVICE}"


def outbox():
    due = (OutboxEmail.status == Status.WAITING, OutboxEmail.created_at < clock.now() - LATE)
    try:
        count, oldest = db.session.execute(select(func.count(), func.min(OutboxEmail.created_at)).where(*due)).one()
    except SQLAlchemyError:
        raise NotLookedAt("the database does not answer") from None
    if count:
        age = str(clock.now() - oldest).partition(".")[0]
        advice = "Does flask mail worker run?" if current_app.config["MAIL_DELIVERY"] == "worker" else "Is it served?"
        yield f"{count} emails wait, the oldest for {age}. {advice} flask mail list says what was tried."


def jobs():
    """Which cleanup jobs failed, or did not finish for two days."""
    try:
        found = {job.name: job for job in db.session.scalars(select(Job))}
        since = db.session.scalar(select(User.created_at).order_by(User.id).limit(1))
    except SQLAlchemyError:
        raise NotLookedAt("the database does not answer") from None
    for name in cleanup.registered:
        job = found.get(name) or Job(name=name)
        if job.failed_at:
            yield f"{name} failed on {job.failed_at:%Y-%m-%d %H:%M} UTC: {job.error}. To try again: flask users cleanup"
        elif (job.finished_at or since or clock.now()) < clock.now() - OVERDUE:
            last = f"has not finished since {job.finished_at:%Y-%m-%d}" if job.finished_at else "has never finished"
            yield f"{name} {last}. {_who_works()} To run it now: flask users cleanup"


def _who_works():
    return {
        "thread": "Is the application being served?",
        "worker": "Is flask mail worker running?",
        "off": "MAIL_DELIVERY is off: run flask users cleanup once a day.",
    }[current_app.config["MAIL_DELIVERY"]]


CHECKS = {
    "settings": settings,
    "database": database,
    "clock": doctor_services.time_of_day,
    "emails": outbox,
    "cleanup": jobs,
    "PUBLIC_URL, TLS and proxies": doctor_services.public_url,
    "mail server": doctor_services.mail_server,
    "accounts elsewhere": doctor_services.providers,
    "CAPTCHA": doctor_services.captcha_service,
    "counts in Redis": doctor_services.redis,
}
