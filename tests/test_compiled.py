"""The code of a template that several applications of the tests share is the code that each of them would compile."""

import pytest
from support.compiled import TEMPLATES, compile_anew, filled_in
from support.walk import PROVIDERS

CASES = [
    {},
    {"APP_NAME": "Garden", "SUPPORT_EMAIL": "help@example.com", "HELP_URL": "https://help.example"},
    {"PUBLIC_URL": "https://www.example.com/people"},
    {"PUBLIC_URL": "http://localhost:5001"},
    {"OIDC_PROVIDERS": PROVIDERS},
    {"OIDC_PROVIDERS": {"acme": PROVIDERS["x"]}, "LOGIN_METHODS": ("magic_link", "passkey")},
    {"LOGIN_METHODS": ("passkey",)},
    {"LOGIN_METHODS": ("none",), "OIDC_PROVIDERS": PROVIDERS},
    {"TWO_FACTOR": False, "USERNAMES": "off"},
    {"CONFIRMATION": "off", "REGISTRATION_OPEN": False},
    {"CAPTCHA": "altcha", "TERMS_URL": "https://terms.example", "PRIVACY_URL": "https://privacy.example"},
    {"LANGUAGES": ["de", "en"], "FULL_BOOTSTRAP": True},
]


@pytest.mark.extended
def test_shared_code_of_every_page_is_that_of_each_application(make_app, databases):
    kept, shared = {}, 0
    for settings in CASES:
        with make_app("testing", databases("sqlite"), settings) as app, app.test_request_context():
            environment = app.jinja_env.of_reader()
            for path in TEMPLATES.rglob("*.html"):
                name = path.relative_to(TEMPLATES).as_posix()
                key = name, filled_in(environment, name)
                compiled = compile_anew(environment, path.read_text("utf-8"), name, str(path))
                shared += key in kept
                assert compiled == kept.setdefault(key, compiled), (name, settings)
    assert shared > 100
