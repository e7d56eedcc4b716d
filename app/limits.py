"""How often anything may happen: one table of names and rates. Flask-Limiter counts, by POST requests alone.

A request is counted before its view, so that of many at once no more than may pass do, and taken back after it if what
is counted did not happen: a sign-in that succeeds is no failure, a form with a mistake asked for no letter.
What holds for an address, whatever asks for its letters, is in mail.may_write_to(). No name is kept, but hashed.
"""

import logging
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, NamedTuple, cast

from flask import Flask, current_app, g, request
from flask_limiter import RateLimitExceeded
from flask_login import current_user
from limits import RateLimitItem, parse
from sqlalchemy.exc import SQLAlchemyError

from app import audit, captcha, clock, counts, tokens
from app.extensions import db, limiter
from app.models import Device
from app.models.user import login_key

View = Callable[..., Any]


def here() -> str:
    """By network. All that one owner has: an address of IPv4, a /64 of IPv6."""
    return audit.network(audit.origin()["ip"]) or "nowhere"


def place() -> str:
    """By network, or by browser if that was signed in before. So no stranger's tries keep an account's owner out."""
    return cast(str, g.place)


def name_and_place() -> str:
    """By name, and network or browser. Neither address nor username tells what was tried by the other."""
    return f"{counts.hashed(_name())} {place()}"


class Limit(NamedTuple):
    counted: set[str]  # which of audit's notes; any request if empty
    rates: dict[Callable[[], str], str]
    words: str


LIMITS = {
    "sign_in": Limit(
        {audit.SIGN_IN_FAILED},
        {name_and_place: "5 per 5 minutes", place: "30 per 5 minutes"},
        "Many wrong passwords were tried from here. Wait {wait} and try again, or have a link sent to you.",
    ),
    "register": Limit(
        {"registered", "registered_again"},
        {here: "60 per hour"},
        "Many people registered from your network. Wait {wait}, then try again.",
    ),
    "letter": Limit(
        {"letter_asked"},
        {here: "60 per hour"},
        "Many letters were asked for from your network. Wait {wait}, then try again.",
    ),
    "begin": Limit(
        set(),
        {here: "300 per 5 minutes"},
        "Logging in was begun many times from your network. Wait {wait}, then try again.",
    ),
    "ask_if_taken": Limit(
        set(),
        {here: "300 per hour"},
        "Many names and addresses were tried from your network. Wait {wait}, then try again.",
    ),
}

# From so many of all people on, sign-in asks for the CAPTCHA, where there is one: nobody is refused for what others do.
EVERYBODYS = {"sign_in": parse("1000 per 5 minutes"), "register": parse("600 per 10 minutes")}


def init_app(app: Flask) -> None:
    """Bind the limiter. It is asked by limited views alone, not before every request."""
    limiter._storage_dead = False  # another application's may have been
    limiter.init_app(app)
    app.before_request_funcs[None] = [
        asked for asked in app.before_request_funcs.get(None, []) if asked != limiter._check_request_limit
    ]
    limiter.logger.filters[:] = [Rarely()]


class Rarely(logging.Filter):
    """Lets Flask-Limiter's warning through once a minute, with a reason: it finds out again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        is_due = record.created >= self.quiet_until
        if is_due:
            self.quiet_until = record.created + 60
            record.msg = f"The counts are away, each process counts for itself: {sys.exc_info()[1]!r}"
        return is_due


def limited(*names: str, unless: str = "") -> Callable[[View], View]:
    """Limit a view by these lines of the table; not where the field `unless` is filled in, which nobody can guess."""

    def decorate(view: View) -> View:
        @wraps(view)
        def settled(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except Exception:
                with suppress(SQLAlchemyError):
                    db.session.rollback()  # it may hold the database's lock
                raise
            finally:
                _settle(g.notes)

        counted: View = settled
        for name in names:
            for by, rate in LIMITS[name].rates.items():
                counted = limiter.shared_limit(rate, scope=name, key_func=by)(counted)

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            is_let_by = request.method != "POST" or (unless and request.form.get(unless))
            if is_let_by or not current_app.config["RATELIMIT_ENABLED"]:
                return view(*args, **kwargs)
            g.notes = set()
            if "sign_in" in names:
                g.place = _place()
            try:
                return counted(*args, **kwargs)
            except RateLimitExceeded:
                _settle(set())
                raise

        guarded.limits = names  # type: ignore[attr-defined]
        return guarded

    return decorate


def refusal() -> tuple[str, int] | None:
    """Return why this request was refused, in words, and for how many seconds; None if no limit was reached."""
    met = limiter.current_limit
    if met is None or not met.breached:
        return None
    seconds = met.limit.get_expiry()
    with suppress(*counts.away()):
        seconds = max(1, math.ceil(met.window.reset_time - clock.now().timestamp()))
    name = met.request_args[-1]
    audit.refused("too many tries", limit=name)
    return LIMITS[name].words.format(wait=_in_words(seconds)), seconds


def is_stormy(login: str | None) -> bool:
    """Say whether so much is tried by all people that one in an unknown browser is to show that they are a person.

    Before they say who they are, a browser that says it is known is believed.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        return False
    with suppress(*counts.away()):
        if all(limiter.limiter.test(rate, "everybody", name) for name, rate in EVERYBODYS.items()):
            return False
        return not audit.device() if login is None else not _is_known(login)
    return False


def _settle(notes: set[str]) -> None:
    """Take back what did not happen; count for everybody what did."""
    for request_limit in limiter.current_limits:
        name = request_limit.request_args[-1]
        if LIMITS[name].counted and not LIMITS[name].counted & notes:
            _hit(request_limit.limit, *request_limit.request_args, cost=-1)
    for name, rate in EVERYBODYS.items():
        if captcha.is_on() and LIMITS[name].counted & notes:
            _hit(rate, "everybody", name)


def _hit(rate: RateLimitItem, *about: str, cost: int = 1) -> None:
    with suppress(*counts.away()):  # the answer is made: nobody is refused by this
        limiter.limiter.hit(rate, *about, cost=cost)


def _place() -> str:
    device = audit.device()
    return f"browser-{tokens.fingerprint(device)}" if device and _is_known(_name()) else here()


def _is_known(login: str) -> bool:
    with suppress(ValueError):
        return bool(audit.device()) and Device.is_known(audit.device(), login_key(login.strip()))
    return False


def _name() -> str:
    """Whose password is tried: the one's who is signed in, of a link, or whoever is named."""
    if current_user.is_authenticated:
        return cast(str, current_user.username)
    return (request.view_args or {}).get("token") or request.form.get("login", "")


def _in_words(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
