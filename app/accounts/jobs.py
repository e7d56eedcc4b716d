"""The runner of jobs: each runs once a day or at its own interval, in one process at a time, in short transactions.

    @jobs.every(hours=1)
    def fetch_prices():
        ...

A job may yield after each part of its work, which commits it. After two minutes without a yield, another process may
run it, too. A failed job is retried after ten minutes, and `flask doctor` reports it.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Job
from app.models.job import EVERY, LEASE, RETRY
from app.request_state import new_id, state

Batches = Generator[int | None, None, None]  # numbers of rows; None while the job waits
Function = Callable[[], Iterator[int | None] | int | None]
F = TypeVar("F", bound=Function)

PAUSE = 0.02  # seconds between batches, or as long as a batch took, so that other writers get their turn
LONG_PAUSE = 0.5  # seconds, while a job waits

registered: dict[str, Function] = {}
intervals: dict[str, timedelta] = {}  # of the jobs that every() registered; the others are cleanup, once a day
log = logging.getLogger(__name__)


class Incomplete(Exception):
    """A job raises this at its end if a part of its work failed. It is retried when it is due again."""


class _LeaseLost(Exception):
    """Another process has taken over the job."""


@dataclass
class Outcome:
    name: str
    count: int = 0
    error: str = ""
    is_finished: bool = False
    began_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class State:
    """The last run of a job, and when the next one is due."""

    name: str
    every: timedelta
    finished_at: datetime | None
    failed_at: datetime | None  # None if the last run had no error
    error: str
    row_count: int | None  # of the last run, like the duration; None if it has never run
    duration: float | None  # seconds
    next_at: datetime  # in the past if the job is due
    is_running: bool


def register(job: F) -> F:
    """Register a function as a daily job with its name; raise ValueError if another job has the name."""
    name = job.__name__[:64]
    if registered.setdefault(name, job) is not job:
        raise ValueError(f"There is already a job named {name}.")
    return job


def every(**interval: float) -> Callable[[F], F]:
    """Register a function as a job that runs at an interval, in the words of timedelta: `@jobs.every(hours=1)`."""

    def decorate(job: F) -> F:
        intervals[register(job).__name__[:64]] = timedelta(**interval)
        return job

    return decorate


def run_due(stopped: threading.Event) -> None:
    """Run all jobs that are due and not running in another process, until `stopped` is set."""
    for job in states():
        if stopped.is_set():
            return
        outcome = run(job.name, stopped) if job.next_at <= clock.now() and not job.is_running else None
        if outcome and outcome.count:
            log.info("Job %s: %s", job.name, outcome.count)


def run_now(each: Callable[[list[str]], Iterable[str]] = iter) -> dict[str, Outcome | None]:
    """Run all cleanup jobs, due or not; return their outcomes, or None for a job that another process is running.

    Args:
        each: returns the same names one after the other, and may show the progress.
    """
    return {name: run(name, even_if_done=True) for name in each([name for name in registered if name not in intervals])}


def run(
    name: str,
    stopped: threading.Event | None = None,
    even_if_done: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Outcome | None:
    """Run a job and record its outcome; return None if it isn't due or another process is running it.

    Args:
        progress: is called with the number of rows of each batch.
    """
    number = Job.claim(name, intervals.get(name, EVERY), even_if_done)
    if number is None:
        return None
    outcome, state.request_id = Outcome(name), new_id()
    try:
        _do(registered[name], number, outcome, stopped or threading.Event(), progress)
    except Exception as error:
        log.error("Job %s failed", name, exc_info=not isinstance(error, Incomplete | _LeaseLost))
        outcome.error, outcome.is_finished = in_words(error), isinstance(error, Incomplete)
    finally:  # also after Ctrl-C
        db.session.rollback()
        _record(outcome, number)
    return outcome


def states() -> list[State]:
    """Return the state of every registered job, by one query."""
    known = {job.name: job for job in db.session.scalars(select(Job))}
    return [_state(known.get(name) or Job(name=name, error="")) for name in registered]


def in_words(error: Exception) -> str:
    """Return the first line of an error message, since further lines of a database error contain values."""
    cause = getattr(error, "orig", None) or error
    line = "".join(character for character in str(cause).partition("\n")[0] if character.isprintable())
    return line if isinstance(cause, Incomplete | _LeaseLost) else f"{type(cause).__name__}: {line}"[:300].rstrip(": ")


def _state(job: Job) -> State:
    now, every = clock.now(), intervals.get(job.name, EVERY)
    ends = [(job.finished_at, every), (job.failed_at, RETRY)]
    due = [moment + after for moment, after in ends if moment and moment <= now + clock.SKEW]  # else it was set back
    return State(
        job.name,
        every,
        job.finished_at,
        job.failed_at,
        job.error,
        job.row_count,
        job.duration,
        next_at=max(due, default=now),
        is_running=bool(job.leased_until and now < job.leased_until <= now + LEASE + clock.SKEW),
    )


def _do(
    job: Function, number: int, outcome: Outcome, stopped: threading.Event, progress: Callable[[int], object]
) -> None:
    """Run the batches and commit each one. An error of the commit is raised in the job, at its yield."""
    batches, failure = _batches(job), None
    while not stopped.is_set():
        began = time.monotonic()
        try:
            count = batches.throw(failure) if failure else next(batches)
        except StopIteration:
            outcome.is_finished = True
            return
        failure = _commit(outcome.name, number)
        outcome.count += 0 if failure else count or 0
        progress(count or 0)
        stopped.wait(LONG_PAUSE if count is None else max(PAUSE, time.monotonic() - began))
    batches.close()


def _batches(job: Function) -> Batches:
    result = job()
    if isinstance(result, Iterator):
        yield from result
    yield result if isinstance(result, int) else 0  # commits the changes after the last yield of a generator


def _commit(name: str, number: int) -> Exception | None:
    """Commit a batch and renew the lease; return the error if the commit fails."""
    try:
        has_lease = Job.renew(name, number)
        if has_lease:
            db.session.commit()
    except Exception as error:
        db.session.rollback()
        return error
    if not has_lease:
        db.session.rollback()
        raise _LeaseLost("Another process has taken over the job.")
    return None


def _record(outcome: Outcome, number: int) -> None:
    """Release the lease, and record the outcome for states()."""
    now = clock.now()
    changes: dict[str, object] = {"row_count": outcome.count, "duration": time.monotonic() - outcome.began_at}
    if outcome.is_finished:
        changes["finished_at"] = now
    if outcome.error:
        changes |= {"failed_at": now, "error": outcome.error}
    elif outcome.is_finished:
        changes |= {"failed_at": None, "error": ""}
    Job.change(outcome.name, number, leased_until=None, **changes)
    db.session.commit()
