# mypy: ignore-errors
"""Proxies in front: what X-Forwarded-* says counts only if it comes from a trusted network."""

import logging
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SOCKET_PEERS = {"", "localhost", "<local>"}  # what gunicorn, waitress and Werkzeug call the peer of a Unix socket
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")
IS_TRUSTED = "flasky.is_peer_trusted"  # in the WSGI environment

log = logging.getLogger(__name__)


class TrustedProxies:
    """WSGI middleware: take the visitor's address, the scheme and the host from the proxies in front.

    Every proxy appends to X-Forwarded-For, so its entry is counted from the right. The scheme and the host come from
    the nearest proxy: others are overwritten, appended or dropped on the way, depending on the product.

    Args:
        count: how many proxies stand in front.
        networks: where the nearest of them connects from. A Unix socket counts as trusted.
    """

    def __init__(self, wsgi_app: "WSGIApplication", count: int, networks: Iterable[str]) -> None:
        self.wsgi_app, self.count = wsgi_app, count
        self.networks = [ip_network(network) for network in networks]
        self.behind_proxies = ProxyFix(self._with_plain_address, x_for=count, x_proto=1, x_host=1)
        self.has_warned = False

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR") or ""
        environ[IS_TRUSTED] = self._is_trusted(peer)
        if self.count and environ[IS_TRUSTED]:
            return self.behind_proxies(environ, start_response)
        self._warn_once(environ, peer)
        environ["REMOTE_ADDR"] = plain_address(peer) or peer
        return self.wsgi_app(environ, start_response)

    def _with_plain_address(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR") or "")
        return self.wsgi_app(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if peer in SOCKET_PEERS:
            return True
        address = _address(peer)
        return address is not None and any(address in network for network in self.networks)

    def _warn_once(self, environ: "WSGIEnvironment", peer: str) -> None:
        if self.has_warned or not any(header in environ for header in FORWARDED):
            return
        self.has_warned = True
        if self.count:
            remedy = "If that is your proxy, add its network to TRUSTED_PROXY_NETWORKS."
        else:
            remedy = "If that is your proxy, set TRUSTED_PROXIES to the number of proxies in front."
        log.warning("Ignored the X-Forwarded-* headers from %s. %s", peer, remedy)


def plain_address(text: str) -> str:
    """Return an IP address without port, brackets, zone and IPv4-in-IPv6 mapping; "" if the text is none."""
    return str(_address(text) or "")


def init_app(app: Flask) -> None:
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign]
        app.wsgi_app, app.config["TRUSTED_PROXIES"], app.config["TRUSTED_PROXY_NETWORKS"]
    )


def _address(text: str) -> IPv4Address | IPv6Address | None:
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
