"""The table of rate limits: the rates, what each is counted by, and the message for the user.

Counters store only hashes of names.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.models import AuditAction, Device
from app.models.logins import login_key
from app.request_state import state
from app.security import origin, signing
from app.security.audit import Attempt, Countable

Subjects = Callable[[str], list[str]]  # from a username, an email address, or the token of a link


def by_network(_: str) -> list[str]:
    """Return the IPv4 address, or the /64 and the /48 network of an IPv6 address."""
    return origin.networks(origin.of_request()["ip"]) or ["nowhere"]


def by_place(name: str) -> list[str]:
    """Return the device if the account knows it, else the network, so that attackers can't lock the owner out."""
    return _known_device(name) or by_network(name)


def by_name_and_place(name: str) -> list[str]:
    """Combine name and place. A username and its email address are counted separately: neither reveals the other."""
    return [f"{hashed(name)} {place}" for place in by_place(name)]


def by_account_and_device(name: str) -> list[str]:
    """Combine the logged-in account and the device. All devices that the account does not know share a counter."""
    if not current_user.is_authenticated:
        return []
    account = hashed(current_user.email)  # not the username, which users can change at any time
    return [f"{account} {device}" for device in _known_device(name) or ["elsewhere"]]


def by_account_and_network(name: str) -> list[str]:
    return [f"{hashed(name)} {network}" for network in by_network(name)]


def by_name(name: str) -> list[str]:
    return [hashed(name)]


def hashed(name: str) -> str:
    """Return the hash of a username or an email address, independent of its spelling."""
    with suppress(ValueError):
        name = login_key(name.strip())
    return signing.fingerprint(name)


def is_known_device(name: str) -> bool:
    """Return whether the account with this name knows the device, by one query per request."""
    if not origin.device_cookie():
        return False
    found = state.known_devices
    if name not in found:
        found[name] = False
        with suppress(ValueError):
            found[name] = Device.is_known(origin.device_cookie(), login_key(name.strip()))
    return found[name]


def _known_device(name: str) -> list[str]:
    return [f"browser-{signing.fingerprint(origin.device_cookie())}"] if is_known_device(name) else []


class Policy(NamedTuple):
    """One line of the table."""

    rates: dict[Subjects, str]  # in the notation of the `limits` library
    message: str  # for the user; `%(later)s` is replaced by the time to wait, such as "in 20 seconds"
    actions: frozenset[Countable] = frozenset()  # count only requests that record one of these; empty: all requests
    or_link: str = ""  # the message where an emailed link could log in instead


DELAYED = Policy(  # not in the table: login_delay counts
    {},
    _l("Too many incorrect passwords were entered for this account. Try again %(later)s."),
    or_link=_l(
        "Too many incorrect passwords were entered for this account. Try again %(later)s, "
        "or log in with an emailed link."
    ),
)

POLICIES = {
    "login": Policy(
        {by_name_and_place: "5 per 5 minutes", by_place: "30 per 5 minutes"},
        _l("Too many incorrect passwords were entered here. Try again %(later)s."),
        frozenset({AuditAction.LOGIN_FAILED}),
        _l("Too many incorrect passwords were entered here. Try again %(later)s, or log in with an emailed link."),
    ),
    "login_attempts": Policy(
        {by_name_and_place: "30 per 5 minutes"},
        _l("There were too many logins to this account from here. Try again %(later)s."),
        frozenset({Attempt.PASSWORD_CHECKED}),
    ),
    "passkey": Policy(
        {by_network: "30 per 5 minutes"},
        _l("Too many unknown passkeys were used on your network. Try again %(later)s, or log in another way."),
        frozenset({Attempt.PASSKEY_FAILED}),
    ),
    "passkey_options": Policy(
        {by_network: "300 per 5 minutes"},
        _l("Too many passkey logins were started here. Try again %(later)s."),
    ),
    "reauthentication": Policy(
        {by_account_and_device: "20 per hour"},
        _l("Too many incorrect passwords were entered for this account. Try again %(later)s."),
        frozenset({AuditAction.LOGIN_FAILED}),
    ),
    "code": Policy(
        {by_network: "30 per 5 minutes"},
        _l("Too many incorrect codes were entered on your network. Try again %(later)s."),
        frozenset({Attempt.CODE_FAILED}),
    ),
    "session": Policy(
        {by_account_and_network: "30 per 5 minutes"},
        _l("There were too many logins to this account from here. Try again %(later)s."),
    ),
    "registration": Policy(
        {by_network: "60 per hour"},
        _l("Too many accounts were created on your network. Try again %(later)s."),
    ),
    "email": Policy(
        {by_network: "60 per hour"},
        _l("Too many emails were requested on your network. Try again %(later)s."),
    ),
    "mailbox": Policy(
        {by_name: "10 per hour"},
        _l("Too many emails were sent to this address. Try again %(later)s."),
    ),
    "provider_start": Policy(
        {by_network: "300 per 5 minutes"},
        _l("Too many logins were started on your network. Try again %(later)s."),
    ),
    "provider_return": Policy(
        {by_network: "600 per 5 minutes"},
        _l("Too many logins were completed on your network. Try again %(later)s."),
    ),
    "availability": Policy(
        {by_network: "300 per hour"},
        _l("Too many accounts were looked up on your network. Try again %(later)s."),
    ),
    "requests": Policy(
        {by_place: "600 per 5 minutes"},
        _l("Too many forms were sent from your network. Try again %(later)s."),
    ),
}

# Site-wide rates. Above these, login asks unknown devices for the CAPTCHA. No request is refused.
SITE_WIDE = {"login": "1000 per 5 minutes", "registration": "600 per 10 minutes"}
SITE_WIDE_ACTIONS: dict[str, set[Countable]] = {
    "login": {AuditAction.LOGIN_FAILED},
    "registration": {AuditAction.REGISTERED, AuditAction.REGISTERED_AGAIN},
}
EVERYBODY = "everybody"  # their subject


def check_names(*names: str) -> None:
    """Raise LookupError if a name is not in the table."""
    if unknown := {*names} - POLICIES.keys():
        raise LookupError(f"There is no policy {', '.join(sorted(unknown))} in {__name__}.")
