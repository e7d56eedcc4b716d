"""Rate limits: `@rate_limited` for views and hit() for services. policies.py lists the policies.

A request is counted before the view runs, so that concurrent requests can't exceed a limit together. The count is
undone afterwards if the counted action did not happen: a successful login is not a failed one. Every request to a
limited view also counts for the policy `requests`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, NamedTuple

from flask import current_app, has_request_context, request
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import TooManyRequests

from app import clock, formats, metrics, switches
from app.extensions import db
from app.models import AuditAction
from app.request_state import state
from app.security import login_delay, origin
from app.security.audit import Countable
from app.security.rate_limits.counters import Counter, Storage, parse, shared_counters, storage_errors
from app.security.rate_limits.policies import (
    DELAYED,
    EVERYBODY,
    POLICIES,
    SITE_WIDE,
    SITE_WIDE_ACTIONS,
    Policy,
    check_names,
    hashed,
    is_known_device,
)
from app.switches import is_on

View = Callable[..., Any]


class Exceeded(TooManyRequests):
    """A rate limit is reached. `policy` is its name, `message` tells the user how long to wait."""

    def __init__(self, policy: str, seconds: float, words: Policy) -> None:
        self.policy, seconds = policy, max(1, math.ceil(seconds))
        message = words.or_link if words.or_link and is_on("magic_link") else words.message
        self.message = str(message) % {"later": formats.later(seconds)}
        super().__init__(self.message, retry_after=seconds)
        metrics.refusals.labels(policy).inc()


def rate_limited(
    *policies: str, with_passkey: Iterable[str] = (), methods: Iterable[str] = ("POST",)
) -> Callable[[View], View]:
    """Limit requests to a view by these policies, and by `requests`.

    Args:
        policies: names in policies.POLICIES.
        with_passkey: the policies to use instead if the form has a passkey's answer in `credential`, for a view that
            then ignores the other fields.
        methods: the request methods that count.
    """
    by_passkey = tuple(with_passkey)
    check_names(*policies, *by_passkey)

    def decorate(view: View) -> View:
        @wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:
            if request.method not in methods or not current_app.config["RATELIMIT_ENABLED"]:
                return view(*args, **kwargs)
            names = by_passkey if by_passkey and request.form.get("credential") else policies
            with _counted(dict.fromkeys(["requests", *names])):
                return view(*args, **kwargs)

        limited.limits = policies  # type: ignore[attr-defined]
        return limited

    return decorate


def hit(policy: str, name: str = "") -> None:
    """Count an action of a service before it is done. Raises Exceeded if the limit is reached.

    Args:
        name: the username or email address that the policy counts by.
    """
    check_names(policy)
    if has_request_context() and current_app.config["RATELIMIT_ENABLED"]:
        _count([policy], name)


def allows(policy: str, name: str) -> bool:
    """Count an action like hit(), and return whether it is within the limit."""
    try:
        hit(policy, name)
    except Exceeded:
        return False
    return True


def claim_guessing_notice() -> bool:
    """Return whether this wrong password delays the next one, and the owner was not notified of that for a day."""
    attempt = state.login_attempt
    return attempt is not None and login_delay.is_notice_due(attempt)


def needs_captcha(login: str | None) -> bool:
    """Return whether login asks for the CAPTCHA because of site-wide failures. Known devices are exempt.

    Args:
        login: the name in the submitted form. For None, before submission, any device cookie counts as known.
    """
    if not is_site_wide_rate_reached():
        return False
    with suppress(*storage_errors()):
        return not origin.device_cookie() if login is None else not is_known_device(login)
    return False


def is_site_wide_rate_reached() -> bool:
    counters = [Counter(name, EVERYBODY, parse(rate)) for name, rate in SITE_WIDE.items()]
    return current_app.config["RATELIMIT_ENABLED"] and any(map(shared_counters().is_reached, counters))


class Counted(NamedTuple):
    """The counters that a request has incremented."""

    storage: Storage
    counters: list[Counter]

    def undo_refused(self) -> None:
        """Undo all but `requests`, because the view does not run."""
        self.undo(lambda policy: policy is not POLICIES["requests"])

    def undo(self, condition: Callable[[Policy], bool]) -> None:
        if undone := [counter for counter in self.counters if condition(POLICIES[counter.policy])]:
            shared_counters().undo(self.storage, undone)


@contextmanager
def _counted(policies: Iterable[str]) -> Iterator[None]:
    """Count a request, run the view, and undo the counts of actions that did not happen."""
    name = _name()
    actions = state.attempts = set()
    counted = _count(policies, name)
    try:
        state.login_attempt = _start_login_attempt(policies, name)
    except Exceeded:
        counted.undo_refused()
        raise
    try:
        yield
    except Exception:
        with suppress(SQLAlchemyError):
            db.session.rollback()  # the transaction may hold the database's lock
        raise
    finally:
        _settle(counted, actions)


def _name() -> str:
    """Return the name to count by: the logged-in user's, the one in the form, or the token of a link."""
    if current_user.is_authenticated:
        return str(current_user.username)
    return (request.view_args or {}).get("token") or request.form.get("login", "")


def _count(policies: Iterable[str], name: str) -> Counted:
    """Count one request for these policies. If a limit is exceeded, undo all but `requests` and raise Exceeded."""
    wanted = [
        Counter(policy, subject, parse(rate))
        for policy in policies
        for subjects, rate in POLICIES[policy].rates.items()
        for subject in subjects(name)
    ]
    storage, found = shared_counters().add(wanted)
    counted = Counted(storage, list(found))
    for counter, count in found.items():
        if count > counter.rate.amount:
            counted.undo_refused()
            seconds: float = counter.rate.get_expiry()
            with suppress(*storage_errors()):
                seconds = storage.get_expiry(counter.key) - clock.now().timestamp()
            raise Exceeded(counter.policy, seconds, POLICIES[counter.policy])
    return counted


def _start_login_attempt(policies: Iterable[str], name: str) -> login_delay.Attempt | None:
    """Count a password attempt for the name over all networks, unless the account knows this device."""
    if "login" not in policies or current_user.is_authenticated or is_known_device(name):
        return None
    try:
        return login_delay.start_attempt(hashed(name))
    except login_delay.Delayed as delayed:
        raise Exceeded("login", delayed.seconds, DELAYED) from delayed


def _settle(counted: Counted, actions: set[Countable]) -> None:
    """Undo the counts of actions that did not happen, and add those that did to the site-wide counts."""
    counted.undo(lambda policy: bool(policy.actions) and not policy.actions & actions)
    if state.login_attempt and AuditAction.LOGIN_FAILED not in actions:
        login_delay.undo(state.login_attempt)
    if switches.is_on("captcha"):
        happened = [name for name in SITE_WIDE if SITE_WIDE_ACTIONS[name] & actions]
        if happened:
            shared_counters().add([Counter(name, EVERYBODY, parse(SITE_WIDE[name])) for name in happened])
