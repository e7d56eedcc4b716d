"""All routes of the application, for the tests that hold for each of them."""

import pytest
from flask import url_for

from settings.providers import Provider

# For tests that walk all routes: a provider `x`, since addresses() fills each text parameter of a URL with an x.
with_all_routes = pytest.mark.parametrize(
    "settings", [{"OIDC_PROVIDERS": {"x": Provider("x", "X", "http://127.0.0.1:9", "an id", "a secret")}}]
)


def addresses(app, method):
    """Return every route that accepts `method`, as pairs of endpoint and URL."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if method in rule.methods:
                values = {name: 1 if name == "number" else "x" for name in rule.arguments}
                yield rule.endpoint, url_for(rule.endpoint, **values)
