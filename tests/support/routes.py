"""All our routes, for the tests that hold for each of them. The routes of an application built on this are left out."""

import pytest
from flask import url_for

from settings.providers import Provider
from support.ours import is_ours

# For tests that walk all routes: a provider `x`, since addresses() fills each text parameter of a URL with an x.
with_all_routes = pytest.mark.parametrize(
    "settings", [{"OIDC_PROVIDERS": {"x": Provider("x", "X", "http://127.0.0.1:9", "an id", "a secret")}}]
)


FILES = {"static", "asset", "favicon", "manifest", "robots", "security_txt"}  # without session


def our_rules(app):
    """Return the rules of the URL map whose views are ours."""
    return [rule for rule in app.url_map.iter_rules() if is_ours(app.view_functions[rule.endpoint])]


def addresses(app, method):
    """Yield every route of ours that accepts `method`, as pairs of endpoint and URL."""
    with app.test_request_context():
        for rule in our_rules(app):
            if method in rule.methods:
                values = {name: 1 if name == "number" else "x" for name in rule.arguments}
                yield rule.endpoint, url_for(rule.endpoint, **values)
