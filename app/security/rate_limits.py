"""How often anything may happen: one table of policies. `@rate_limited` holds a view to some of them, hit() a service.

A request is counted before its work, so that of many at once no more than may pass do, and taken back after it if what
is counted did not happen: a login that succeeds is no failure. Every request of a limited view counts against
`requests` as well, whatever comes of it. What one address may get, whoever asks, is in mail.budget_for(). No name is
kept, but hashed.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, NamedTuple

from flask import Flask, current_app, g, has_request_context, request
from flask_login import current_user
from limits import parse
from limits.storage import Storage
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import TooManyRequests

from app import clock
from app.extensions import db
from app.models import AuditAction, Device
from app.models.logins import login_key
from app.security import audit, captcha, login_delay, rate_limit_storage, signing
from app.security.audit import Countable
from app.security.rate_limit_storage import Counter

View = Callable[..., Any]
Subjects = Callable[[str], list[str]]  # who is counted, of an account or of the name that was typed


def network(_: str) -> list[str]:
    """By network: an IPv4 address; of IPv6 a /64, and the /48 that it is part of."""
    return audit.networks(audit.origin()["ip"]) or ["nowhere"]


def place(name: str) -> list[str]:
    """By network, or by device if the account knows it. So no stranger's guesses keep the owner out."""
    return _device(name) or network(name)


def name_and_place(name: str) -> list[str]:
    """By name, and network or device. Neither address nor username tells what was tried by the other."""
    return [f"{rate_limit_storage.hashed(name)} {where}" for where in place(name)]


def account_and_device(name: str) -> list[str]:
    """By account, if one is logged in; each device that it knows, and all others together, whatever their network."""
    if not current_user.is_authenticated:
        return []
    account = rate_limit_storage.hashed(current_user.email)  # the username can be changed, again and again
    return [f"{account} {where}" for where in _device(name) or ["elsewhere"]]


def typed(name: str) -> list[str]:
    """By name or address, whoever asks."""
    return [rate_limit_storage.hashed(name)]


def account_and_network(name: str) -> list[str]:
    """By account and network."""
    return [f"{rate_limit_storage.hashed(name)} {where}" for where in network(name)]


class Policy(NamedTuple):
    counted: set[Countable]  # what counts; every request if empty
    rates: dict[Subjects, str]
    words: str  # what a person is told who is over it


WRONG_PASSWORDS = "Many wrong passwords were tried from here. Wait {wait} and try again, or have a link sent to you."
DELAYED = (
    "Many wrong passwords were tried for this account. Wait {wait} and try again, or have a link sent to you, which"
    " logs you in now."
)

POLICIES = {
    "login": Policy(
        {AuditAction.LOGIN_FAILED},
        {name_and_place: "5 per 5 minutes", place: "30 per 5 minutes"},
        WRONG_PASSWORDS,
    ),
    "login_attempts": Policy(
        {audit.Attempt.PASSWORD_CHECKED},
        {name_and_place: "30 per 5 minutes"},
        "This account was logged in to many times from here. Wait {wait}, then try again.",
    ),
    "passkey": Policy(
        {audit.Attempt.PASSKEY_FAILED},
        {network: "30 per 5 minutes"},
        "Many passkeys that are not known were tried from your network. Wait {wait}, or log in another way.",
    ),
    "passkey_options": Policy(
        set(),
        {network: "300 per 5 minutes"},
        "Passkeys were asked for many times from here. Wait {wait}, then try again.",
    ),
    "reauthentication": Policy(
        {AuditAction.LOGIN_FAILED},
        {account_and_device: "20 per hour"},
        "Many wrong passwords were tried for this account. Wait {wait}, then try again.",
    ),
    "code": Policy(
        {audit.Attempt.CODE_FAILED},
        {network: "30 per 5 minutes"},
        "Many wrong codes were tried from your network. Wait {wait}, then try again.",
    ),
    "session": Policy(
        set(),
        {account_and_network: "30 per 5 minutes"},
        "This account was logged in to many times from here. Wait {wait}, then try again.",
    ),
    "registration": Policy(
        set(),
        {network: "60 per hour"},
        "Many people registered from your network. Wait {wait}, then try again.",
    ),
    "email": Policy(
        set(),
        {network: "60 per hour"},
        "Many emails were asked for from your network. Wait {wait}, then try again.",
    ),
    "mailbox": Policy(
        set(),
        {typed: "10 per hour"},
        "Many emails were sent to this address. Wait {wait}, then try again.",
    ),
    "provider_start": Policy(
        set(),
        {network: "300 per 5 minutes"},
        "Logging in was begun many times from your network. Wait {wait}, then try again.",
    ),
    "provider_return": Policy(
        set(),
        {network: "600 per 5 minutes"},
        "Many logins came back from there to your network. Wait {wait}, then try again.",
    ),
    "availability": Policy(
        set(),
        {network: "300 per hour"},
        "Many names and addresses were tried from your network. Wait {wait}, then try again.",
    ),
    "requests": Policy(
        set(),
        {place: "600 per 5 minutes"},
        "Many forms were sent from your network. Wait {wait}, then try again.",
    ),
}

# From so many of all people on, login asks for the CAPTCHA, where there is one: nobody is refused for what others do.
EVERYBODYS = {"login": parse("1000 per 5 minutes"), "registration": parse("600 per 10 minutes")}
THEIR_ACTIONS: dict[str, set[Countable]] = {
    "login": {AuditAction.LOGIN_FAILED},
    "registration": {AuditAction.REGISTERED, AuditAction.REGISTERED_AGAIN},
}


class Exceeded(TooManyRequests):
    """A limit is reached: `policy` says which, `words` what the person is told."""

    def __init__(self, policy: str, seconds: float, words: str) -> None:
        self.policy, seconds = policy, max(1, math.ceil(seconds))
        self.words = words.format(wait=_in_words(seconds))
        super().__init__(self.words, retry_after=seconds)


class Counted(NamedTuple):
    """What was counted for one request, and can be taken back."""

    storage: Storage
    counters: list[Counter]

    def take_back(self, which: Callable[[Policy], bool]) -> None:
        if gone := [counter for counter in self.counters if which(POLICIES[counter.name])]:
            rate_limit_storage.counters().take_back(self.storage, gone)


def init_app(app: Flask) -> None:
    rate_limit_storage.init_app(app)


def rate_limited(
    *names: str, with_passkey: Iterable[str] | None = None, methods: Iterable[str] = ("POST",)
) -> Callable[[View], View]:
    """Hold a view to these policies, and to `requests`, whenever it is asked by one of `methods`.

    `with_passkey`: the policies that hold instead if the form has a passkey's answer in `credential`. Only for a view
    that looks at nothing else then.
    """
    if unknown := {*names, *(with_passkey or ())} - POLICIES.keys():
        raise LookupError(f"There is no policy {unknown}.")

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if request.method not in methods or not current_app.config["RATELIMIT_ENABLED"]:
                return view(*args, **kwargs)
            is_by_passkey = with_passkey is not None and request.form.get("credential")
            policies = with_passkey if is_by_passkey and with_passkey else names
            with _counted(dict.fromkeys(["requests", *policies])):
                return view(*args, **kwargs)

        guarded.limits = names  # type: ignore[attr-defined]
        return guarded

    return decorate


def hit(policy: str, name: str = "") -> None:
    """Count a deed against a policy before it is done; `name` says of which account.

    For services: the limit holds whichever view, provider or button leads there. Raises Exceeded.
    """
    if has_request_context() and current_app.config["RATELIMIT_ENABLED"]:
        _count([policy], name)


def allows(policy: str, name: str) -> bool:
    """Count a deed as hit() does, and say whether it is within the policy."""
    try:
        hit(policy, name)
    except Exceeded:
        return False
    return True


def is_guessed() -> bool:
    """Say whether a wrong password in this request delays the next one, and its owner is to be told, once a day."""
    claim = g.get("login_claim")
    return claim is not None and login_delay.is_warning_due(claim)


def is_stormy(login: str | None) -> bool:
    """Say whether so much is tried by all people that one on an unknown device is to show that they are a person.

    Before they say who they are, a device that says it is known is believed.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        return False
    everybodys = [Counter(name, "everybody", rate) for name, rate in EVERYBODYS.items()]
    if not any(rate_limit_storage.counters().is_reached(counter) for counter in everybodys):
        return False
    with suppress(*rate_limit_storage.away()):
        return not audit.device() if login is None else not _is_known(login)
    return False


@contextmanager
def _counted(names: Iterable[str]) -> Iterator[None]:
    """Count a request, do its work, and take back what did not happen."""
    name = _name()
    g.attempts = set()
    counted = _count(names, name)
    try:
        g.login_claim = _claim(names, name)
    except Exceeded:
        counted.take_back(lambda policy: bool(policy.counted))
        raise
    try:
        yield
    except Exception:
        with suppress(SQLAlchemyError):
            db.session.rollback()  # it may hold the database's lock
        raise
    finally:
        _settle(counted, g.attempts)


def _count(names: Iterable[str], name: str) -> Counted:
    """Count one request or deed against these policies. Raises Exceeded, and then only requests stay counted."""
    counters = [
        Counter(policy, subject, parse(rate))
        for policy in names
        for subjects, rate in POLICIES[policy].rates.items()
        for subject in subjects(name)
    ]
    storage, found = rate_limit_storage.counters().add(counters)
    counted = Counted(storage, list(found))
    for counter, count in found.items():
        if count > counter.rate.amount:
            counted.take_back(lambda policy: bool(policy.counted))
            seconds: float = counter.rate.get_expiry()
            with suppress(*rate_limit_storage.away()):
                seconds = storage.get_expiry(counter.key) - clock.now().timestamp()
            raise Exceeded(counter.name, seconds, POLICIES[counter.name].words)
    return counted


def _claim(names: Iterable[str], name: str) -> login_delay.Claim | None:
    """Count a guess at an account over all networks, unless the account knows this device. Raises Exceeded."""
    if "login" not in names or current_user.is_authenticated or _device(name):
        return None
    try:
        return login_delay.claim(rate_limit_storage.hashed(name))
    except login_delay.Blocked as blocked:
        raise Exceeded("login", blocked.seconds, DELAYED) from blocked


def _settle(counted: Counted, attempts: set[Countable]) -> None:
    """Take back what did not happen; count for everybody what did."""
    counted.take_back(lambda policy: bool(policy.counted) and not policy.counted & attempts)
    if g.login_claim and AuditAction.LOGIN_FAILED not in attempts:
        login_delay.take_back(g.login_claim)
    if captcha.is_on():
        happened = [
            Counter(name, "everybody", rate) for name, rate in EVERYBODYS.items() if THEIR_ACTIONS[name] & attempts
        ]
        if happened:
            rate_limit_storage.counters().add(happened)


def _device(name: str) -> list[str]:
    """Return the subject of the device that this request comes from, if the account of this name knows it."""
    return [f"browser-{signing.fingerprint(audit.device())}"] if _is_known(name) else []


def _is_known(name: str) -> bool:
    """Say whether the account of this name knows the device; looked up once in a request."""
    if not audit.device():
        return False
    found: dict[str, bool] = g.setdefault("known_device", {})
    if name not in found:
        found[name] = False
        with suppress(ValueError):
            found[name] = Device.is_known(audit.device(), login_key(name.strip()))
    return found[name]


def _name() -> str:
    """Return whose password is tried: the logged-in user's, a link's, or that of the name that was typed."""
    if current_user.is_authenticated:
        return str(current_user.username)
    return (request.view_args or {}).get("token") or request.form.get("login", "")


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} {'second' if seconds == 1 else 'seconds'}"
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
