"""What a rate limit counts by: network, device, account, or the name that was typed. Names are stored hashed only."""

from collections.abc import Callable
from contextlib import suppress

from flask_login import current_user

from app.models import Device
from app.models.logins import login_key
from app.request_state import state
from app.security import origin, signing

Subjects = Callable[[str], list[str]]  # from a username, an email address, or the token of a link


def by_network(_: str) -> list[str]:
    """Return the IPv4 address; for IPv6 the /64 network and the /48 network around it."""
    return origin.networks(origin.of_request()["ip"]) or ["nowhere"]


def by_place(name: str) -> list[str]:
    """Return the device if the account knows it, else the network, so that strangers can't lock the owner out."""
    return _known_device(name) or by_network(name)


def by_name_and_place(name: str) -> list[str]:
    """Combine name and place. A username and its email address count apart, so that neither reveals the other."""
    return [f"{hashed(name)} {place}" for place in by_place(name)]


def by_account_and_device(name: str) -> list[str]:
    """Combine the logged-in account with a device that it knows; all other devices count together."""
    if not current_user.is_authenticated:
        return []
    account = hashed(current_user.email)  # not the username, which users can change at any time
    return [f"{account} {device}" for device in _known_device(name) or ["elsewhere"]]


def by_account_and_network(name: str) -> list[str]:
    """Combine account and network."""
    return [f"{hashed(name)} {network}" for network in by_network(name)]


def by_name(name: str) -> list[str]:
    """Return the name alone, for requests from all networks."""
    return [hashed(name)]


def hashed(name: str) -> str:
    """Return the hash of a username or an email address; all spellings give the same."""
    with suppress(ValueError):
        name = login_key(name.strip())
    return signing.fingerprint(name)


def is_known_device(name: str) -> bool:
    """Return whether the account with this name knows the device. The query runs once in a request."""
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
