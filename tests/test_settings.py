"""Settings: what is accepted, what is refused at start, and mistyped names."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from email.policy import default

import pytest
from support.clients import ROOT

from app import create_app
from config import env
from settings import names
from settings.brand import DEFAULT
from settings.environment import ConfigError

GOOD = {
    "SECRET_KEY": "Xk1mQ9vzT7rW3pLc8sNd5fHj2gBy6uKe",
    "PUBLIC_URL": "https://example.com",
    "DATABASE_URL": "sqlite://",
    "MAIL_SERVER": "mail.example.com",
}
REMEDIES = {
    "SECRET_KEY": "python -c 'import secrets; print(secrets.token_hex())'",
    "PUBLIC_URL": "https://example.com",
    "DATABASE_URL": "postgresql://user:password@host/name",
    "MAIL_SERVER": "Write the host name",
}


ALONE = {"PATH": os.environ["PATH"], "PYTHON_DOTENV_DISABLED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def run_python(*arguments, cwd=ROOT, stderr=subprocess.PIPE, **environment):
    """Run Python in a process of its own, with these settings alone."""
    command, output = [sys.executable, *arguments], {"stdout": subprocess.PIPE, "stderr": stderr}
    return subprocess.run(command, cwd=cwd, env=ALONE | environment, text=True, timeout=120, **output)


@pytest.fixture
def configured(monkeypatch):
    """Read config.py anew, with these settings in the environment."""

    def read(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("config_read_anew", ROOT / "config.py")
        config = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(config)
        return config

    return read


@pytest.fixture
def start(configured, monkeypatch):
    """Start the application as a server would that has these settings in its environment."""

    def run(**environment):
        monkeypatch.setattr("config.configurations", configured(**environment).configurations)
        return create_app()

    return run


@pytest.fixture
def refusal(start):
    """The lines that are said when the application does not start with these settings."""

    def lines(**environment):
        with pytest.raises(ConfigError) as refused:
            start(**environment)
        return str(refused.value).splitlines()

    return lines


def without(name):
    return {other: value for other, value in GOOD.items() if other != name}


# Production


@pytest.mark.parametrize("environment", [{}, {"FLASK_CONFIG": ""}])
def test_default_configuration_is_production_and_names_missing_settings(refusal, environment):
    heading, *problems = refusal(**environment)
    assert heading == "The production configuration can't start:"
    assert [problem.partition(" is missing")[0] for problem in problems] == list(REMEDIES)
    assert all(remedy in problem for remedy, problem in zip(REMEDIES.values(), problems, strict=True))


def test_production_starts_with_four_settings(start):
    app = start(**GOOD, MAIL_DELIVERY="off")
    assert app.config["CONFIG_NAME"] == "production"
    assert not app.debug
    kept = ("SECRET_KEY", "PUBLIC_URL", "SQLALCHEMY_DATABASE_URI", "MAIL_SERVER")
    assert [app.config[name] for name in kept] == list(GOOD.values())
    assert app.config["MAIL_DEFAULT_SENDER"] == '"Flasky" <no-reply@example.com>'
    assert app.test_client().get("/dev/mailbox", base_url="https://example.com").status_code == 404


@pytest.mark.parametrize(
    ("written", "sender"),
    [
        ("mail@example.com", ("Flasky", "mail@example.com")),
        ("<mail@example.com>", ("Flasky", "mail@example.com")),
        ("Garden <mail@example.com>", ("Garden", "mail@example.com")),
        ("Garden<mail@example.com>", ("Garden", "mail@example.com")),
        ('"Ada & Co" <mail@example.com>', ("Ada & Co", "mail@example.com")),
        ("Ada & Co <mail@example.com>", ("Ada & Co", "mail@example.com")),
        ("Acme, Inc. <mail@example.com>", ("Acme, Inc.", "mail@example.com")),
        ('"The \\"Garden\\"" <mail@example.com>', ('The "Garden"', "mail@example.com")),
        ("Gärten <mail@bücher.example>", ("Gärten", "mail@xn--bcher-kva.example")),
        ("o'neil+no-reply@example.com", ("Flasky", "o'neil+no-reply@example.com")),
        ("Garden <root@localhost>", ("Garden", "root@localhost")),
        ("root@mail.local", ("Flasky", "root@mail.local")),
        ("mail@[192.0.2.1]", ("Flasky", "mail@[192.0.2.1]")),
        ("mail@[IPv6:2001:db8::1]", ("Flasky", "mail@[IPv6:2001:db8::1]")),
    ],
)
def test_mail_sender_is_an_address_or_a_name_and_an_address(start, written, sender):
    app = start(**GOOD, MAIL_DELIVERY="off", MAIL_SENDER=written)
    assert sender_of(app) == sender


def sender_of(app):
    [sender] = default.header_factory("From", app.config["MAIL_DEFAULT_SENDER"]).addresses
    return sender.display_name, sender.addr_spec


NO_SENDERS = """no-reply | Garden | @example.com | no-reply@ | a@example.com, b@example.com | a@b@example.com
A <a@example.com>, B <b@example.com> | A <a@example.com>, b@example.com | a b@example.com | a@exam ple.com
a@example..com | .a@example.com | a@-example.com | é@example.com | "a b"@example.com | @relay.example:a@example.com
friends: a@example.com; | Garden <a@example.com | Garden a@example.com> | Garden <a@example.com> of Ada
The "Garden <a@example.com> | Garden <> | a@[192.0.2.999] | a@192.0.2.1:25 | =?utf-8?q?a=40evil.example?=@example.com"""


@pytest.mark.parametrize("sender", [*re.split(r" \| |\n", NO_SENDERS), f"{'a' * 65}@example.com"])
def test_mail_sender_that_cannot_send_email_is_refused(refusal, sender):
    _, problem = refusal(**GOOD, MAIL_SENDER=sender)
    assert problem.startswith("MAIL_SENDER is not an address that can send email. ")
    assert "Garden <no-reply@example.com>" in problem


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://192.0.2.1", "no-reply@[192.0.2.1]"),
        ("https://[2001:db8::1]:8443/app", "no-reply@[IPv6:2001:db8::1]"),
        ("https://Accounts.Example:8443", "no-reply@accounts.example"),
        ("https://localhost", "no-reply@localhost"),
    ],
)
def test_default_mail_sender_is_made_from_public_url(start, url, address):
    app = start(**GOOD | {"PUBLIC_URL": url}, MAIL_DELIVERY="off")
    assert sender_of(app) == ("Flasky", address)


def test_mail_sender_is_required_if_public_url_has_no_mail_domain(refusal, start):
    url = {"PUBLIC_URL": "https://my_host.example"}
    _, problem = refusal(**GOOD | url)
    assert problem.startswith("MAIL_SENDER is missing")
    start(**GOOD | url, MAIL_DELIVERY="off", MAIL_SENDER="a@example.com")


@pytest.mark.parametrize("is_empty", [False, True])
@pytest.mark.parametrize("name", GOOD)
def test_a_single_missing_or_empty_setting_is_the_only_one_named(refusal, name, is_empty):
    _, problem = refusal(**(GOOD | {name: " "} if is_empty else without(name)))
    assert problem.startswith(f"{name} is missing")
    assert REMEDIES[name] in problem


UNSAFE = {
    "SECRET_KEY": [
        *(
            "k" * 64,
            "Xk1mQ9vz" * 4,
            "Xk1mQ9v" * 4 + "    ",
            GOOD["SECRET_KEY"][:31],
            "Xk1mQ9vz Xk1mQ9vz Xk1mQ9vz Xk1mQ9vz",
        ),
        *("abcdefghijklmnopqrstuvwxyzabcdef", "django-insecure-#8s@k2v!z9x7q6w5e4r3t2y1u0"),
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "a hard to guess string, which everybody has read",
    ],
    "SECRET_KEY_FALLBACKS": [
        "a",
        "qwertyuiopasdfghjklzxcvbnm123456",
        "a long key that was written with spaces in it once",
    ],
    "PUBLIC_URL": [
        *("http://example.com", "example.com", "https://", "https://x@evil.example", "https://example.com?x=1"),
        "https://[bad",
    ],
    "APP_NAME": ["Flasky\r\nBcc: x"],
    "METRICS_TOKEN": ["a", "qwertyuiopasdfghjklzxcvbnm123456"],
    "PORT": ["0", "65536"],
    "FLASK_DEBUG": ["1", "true"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in UNSAFE for value in UNSAFE[name]])
def test_unsafe_settings_are_refused_in_production(refusal, name, value):
    _, problem = refusal(**GOOD | {name: value})
    assert name in problem


ACME = {
    "OIDC_PROVIDERS": "acme",
    "OIDC_ACME_ISSUER": "https://login.acme.example/",
    "OIDC_ACME_CLIENT_ID": "an id",
    "OIDC_ACME_CLIENT_SECRET": "a secret",
}


TENANT, OTHER_TENANT = "a1b2c3d4-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("part", ["ISSUER", "CLIENT_ID", "CLIENT_SECRET"])
def test_provider_without_required_settings_is_refused(refusal, part):
    _, problem = refusal(**GOOD | ACME | {f"OIDC_ACME_{part}": ""})
    assert problem.startswith(f"OIDC_ACME_{part} is missing.")


def test_provider_issuer_without_tls_is_refused(refusal):
    _, problem = refusal(**GOOD | ACME | {"OIDC_ACME_ISSUER": "http://login.acme.example"})
    assert problem.startswith("OIDC_ACME_ISSUER is not https.")


@pytest.mark.parametrize("name", ["Acme", "ac-me", "1acme", "a" * 25, "sso/x"])
def test_provider_name_that_does_not_fit_in_a_url_is_refused(refusal, name):
    assert any(repr(name) in problem for problem in refusal(**GOOD | {"OIDC_PROVIDERS": name}))


def test_providers_are_read_from_their_settings(start):
    own = {"OIDC_ACME_LABEL": "ACME", "OIDC_ACME_DOMAINS": "acme.com, acme.org", "OIDC_ACME_TWO_FACTOR": "0"}
    google = {"OIDC_GOOGLE_CLIENT_ID": "x", "OIDC_GOOGLE_CLIENT_SECRET": "y"}
    microsoft = {"OIDC_MICROSOFT_CLIENT_ID": "x", "OIDC_MICROSOFT_CLIENT_SECRET": "y"}
    microsoft |= {"OIDC_MICROSOFT_TENANTS": f"{TENANT.upper()}, {OTHER_TENANT}"}
    names = {"OIDC_PROVIDERS": "acme, google microsoft"}
    found = start(**GOOD | ACME | own | google | microsoft | names).config["OIDC_PROVIDERS"]
    acme, google, microsoft = found.values()
    assert (acme.label, acme.domains, acme.two_factor) == ("ACME", ("acme.com", "acme.org"), False)
    assert acme.issuer == "https://login.acme.example/"  # to the email
    assert (google.label, google.issuer, google.two_factor) == ("Google", "https://accounts.google.com", True)
    assert (google.domains, google.hosts_domains) == (("gmail.com", "googlemail.com"), True)
    assert (microsoft.verified_claim, microsoft.tenants) == ("xms_edov", (TENANT, OTHER_TENANT))
    assert "a secret" not in repr(acme)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("DOMAINS", "Example.ORG", ("example.org",)),
        ("DOMAINS", "@example.org", ("example.org",)),
        ("DOMAINS", "@Example.org., example.NET", ("example.org", "example.net")),
        ("DOMAINS", "bücher.example", ("xn--bcher-kva.example",)),
        ("DOMAINS", "XN--BCHER-KVA.example", ("xn--bcher-kva.example",)),
        ("TENANTS", TENANT.upper(), (TENANT,)),
        ("ISSUER", "https://login.acme.example/.well-known/openid-configuration", "https://login.acme.example"),
        ("ISSUER", "https://login.acme.example/a/b", "https://login.acme.example/a/b"),
        ("TOKEN_AUTH", "client_secret_POST", "client_secret_post"),
        ("RESPONSE_MODE", "form_post", "form_post"),
        ("SCOPE", "openid, email", "openid email"),
    ],
)
def test_provider_settings_are_normalised(start, name, value, read):
    acme = start(**GOOD | ACME | {f"OIDC_ACME_{name}": value}).config["OIDC_PROVIDERS"]["acme"]
    assert getattr(acme, name.lower()) == read


NEVER = {
    "DOMAINS": "*.example.org|ada@example.org|https://example.org|example|@|example..org|example.org; example.net",
    "TENANTS": f"contoso.com|contoso.onmicrosoft.com|common|{TENANT[:-1]}|{{{TENANT}}}",
    "ISSUER": "login.acme.example|https://|https:///x|https://login.acme.example?x=1|https://login.acme.example/#x"
    "|https://ada:x@login.acme.example|https://login.microsoftonline.com/common/v2.0"
    "|https://login.microsoftonline.com/organizations/v2.0|https://login.microsoftonline.com/contoso.com/v2.0"
    "|https://login.microsoftonline.com/{tenant}/v2.0",
    "SCOPE": "email profile",
    "RESPONSE_MODE": "fragment",
    "TOKEN_AUTH": "basic",
    "TWO_FACTOR": "maybe",
    "CLIENT_SECRET_KEY_FILE": f"/nowhere/AuthKey.p8|{__file__}",
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NEVER for value in NEVER[name].split("|")])
def test_provider_settings_that_can_never_work_are_refused(refusal, name, value):
    assert any(f"OIDC_ACME_{name}" in problem for problem in refusal(**GOOD | ACME | {f"OIDC_ACME_{name}": value})[1:])


@pytest.mark.parametrize("tenant", ["{tenantid}", TENANT])
def test_microsoft_issuer_is_for_all_tenants_or_one(start, tenant):
    issuer = f"https://login.microsoftonline.com/{tenant}/v2.0"
    assert start(**GOOD | ACME | {"OIDC_ACME_ISSUER": issuer}).config["OIDC_PROVIDERS"]["acme"].issuer == issuer


def test_a_signing_key_replaces_the_client_secret(start, refusal, tmp_path):
    path = tmp_path / "AuthKey.p8"
    path.write_text(f"-----BEGIN {'PRIVATE'} KEY-----")
    apple = {"OIDC_PROVIDERS": "apple", "OIDC_APPLE_CLIENT_ID": "com.example.web"}
    apple |= {"OIDC_APPLE_CLIENT_SECRET_KEY_FILE": str(path)}
    _, *problems = refusal(**GOOD | apple)
    named = ["OIDC_APPLE_CLIENT_SECRET_KEY_ID", "OIDC_APPLE_CLIENT_SECRET_TEAM_ID"]
    assert [problem.partition(" ")[0] for problem in problems] == named
    apple |= {"OIDC_APPLE_CLIENT_SECRET_KEY_ID": "k", "OIDC_APPLE_CLIENT_SECRET_TEAM_ID": "t"}
    found = start(**GOOD | apple).config["OIDC_PROVIDERS"]["apple"]
    settings = ("https://appleid.apple.com", "form_post", "openid email name")
    assert (found.issuer, found.response_mode, found.scope) == settings
    assert "PRIVATE" not in repr(found)


def test_debug_mode_set_in_code_is_refused_in_production(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", GOOD["DATABASE_URL"])
    with pytest.raises(ConfigError, match="Debug mode is on"):
        create_app("production", DEBUG=True, **without("DATABASE_URL"))


def test_secret_key_length_is_measured_in_bytes(start):
    sixteen_emails = "éàüößçñêèåøžšđčæ"
    assert start(**GOOD | {"SECRET_KEY": sixteen_emails}).config["SECRET_KEY"] == sixteen_emails


def test_production_cookies_are_secure_and_bound_to_the_host(start):
    app = start(**GOOD, MAIL_DELIVERY="off")
    cookie = app.test_client().get("/auth/login", base_url="https://example.com").headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert "; Secure;" in cookie
    assert "; Path=/" in cookie
    assert "Domain" not in cookie


@pytest.mark.extended
@pytest.mark.parametrize("environment", [{}, {"FLASK_CONFIG": "production"}])
def test_wsgi_server_exits_with_a_plain_message_if_settings_are_missing(environment):
    server = run_python("-c", "import flasky", **environment)
    assert server.returncode == 1
    assert server.stderr.splitlines()[0] == "The production configuration can't start:"
    assert all(name in server.stderr for name in GOOD)
    assert "Traceback" not in server.stderr
    assert server.stdout == ""


@pytest.mark.extended
def test_production_does_not_import_the_development_package():
    look = """
import sys
from app import create_app
for name in ("production", "development"):
    create_app(name)
    print(name, "app.dev" in sys.modules, "app.dev.mailbox" in sys.modules)
"""
    looked = run_python("-c", look, **GOOD)
    assert looked.stdout == "production False False\ndevelopment True True\n", looked.stderr


# All configurations


@pytest.mark.parametrize("name", ["staging", "Production", "config.Testing"])
def test_an_unknown_configuration_is_refused(refusal, name):
    (problem,) = refusal(**GOOD, FLASK_CONFIG=name)
    assert problem == f"FLASK_CONFIG is {name!r}: write one of development, testing, production."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("1", "true", "True", "TRUE", "yes", "Yes", "on", "ON", " on ")),
        *((text, False) for text in ("0", "false", "False", "FALSE", "no", "No", "off", "OFF", " off ")),
    ],
)
def test_boolean_setting_is_read_in_several_spellings(configured, text, value):
    assert configured(MAIL_USE_TLS=text).Config.MAIL_USE_TLS is value


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_setting_means_the_default(configured, text):
    config = configured(MAIL_USE_TLS=text, MAIL_PORT=text, APP_NAME=text).Config
    assert (config.MAIL_USE_TLS, config.MAIL_PORT, config.APP_NAME) == (True, 587, "Flasky")


@pytest.mark.parametrize("configuration", ["development", "production"])
@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        *(("REGISTRATION_OPEN", text, "write 1 or 0.") for text in ("2", "maybe", "y", "None", "-1", "10")),
        *(("MAIL_PORT", text, "write a whole number.") for text in ("25a", "-25", "+25", "2.5", "1_0", "²", "٢٥")),
        *(
            ("TRUSTED_PROXY_NETWORKS", text, "write networks such as 10.0.0.0/8")
            for text in ("10.0.0.5/8", "10.0.0.0/33", "proxy", "10.0.0", "127.0.0.1:80", "::1 x", "*", "10.0.0.0/8;::1")
        ),
        *(("PASSWORD_MIN_LENGTH", text, "write a number from 8 to 128.") for text in ("7", "129")),
        ("MAIL_DELIVERY", "nonsense", "write thread, worker or off."),
        *(("TWO_FACTOR_REQUIRED_FOR", text, "write nobody, admins or everybody.") for text in ("some", "Everybody")),
    ],
)
def test_unreadable_settings_are_refused_at_start(refusal, configuration, name, text, remedy):
    heading, problem = refusal(**GOOD, FLASK_CONFIG=configuration, **{name: text})
    assert heading == f"The {configuration} configuration can't start:"
    assert problem.startswith(name)
    assert remedy in problem


@pytest.mark.extended
def test_all_unreadable_settings_are_reported_together():
    server = run_python("-c", "import flasky", FLASK_CONFIG="testing", MAIL_USE_TLS="maybe", MAIL_PORT="many")
    assert (server.returncode, server.stdout) == (1, "")
    assert server.stderr.splitlines() == [
        "The testing configuration can't start:",
        "MAIL_PORT is 'many': write a whole number.",
        "MAIL_USE_TLS is 'maybe': write 1 or 0.",
    ]


@pytest.mark.extended
def test_production_logs_json_but_plain_lines_at_a_terminal():
    settings = GOOD | {
        "FLASK_CONFIG": "production",
        "SECRET_KEYS": "mistyped",
        "DATABASE_URL": "sqlite:////none/app.db",
    }
    assert json.loads(run_python("-c", "import flasky", **settings).stderr)["log.level"] == "warning"
    ours, terminal = os.openpty()
    with os.fdopen(ours) as screen:
        run_python("-c", "import flasky", stderr=terminal, **settings)
        os.close(terminal)
        assert re.match(r"\d\d:\d\d:\d\d app SECRET_KEYS ", screen.readline())


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"LOGIN_METHODS": "password,passwort"}, "LOGIN_METHODS: write some of"),
        ({"LOGIN_METHODS": "none,password"}, "LOGIN_METHODS: write some of"),
        ({"LOGIN_METHODS": "none"}, "LOGIN_METHODS is none, but OIDC_PROVIDERS is empty"),
        ({"PREVENT_ENUMERATION": "1", "CONFIRMATION": "later"}, "PREVENT_ENUMERATION=1 needs confirmed addresses."),
        ({"PREVENT_ENUMERATION": "1", "CONFIRMATION": "off"}, "PREVENT_ENUMERATION=1 needs confirmed addresses."),
        ({"VERIFY_NEW_DEVICES": "1", "CONFIRMATION": "off"}, "VERIFY_NEW_DEVICES=1 needs confirmed addresses"),
        ({"TWO_FACTOR": "0", "TWO_FACTOR_REQUIRED_FOR": "admins"}, "TWO_FACTOR is 0, so TWO_FACTOR_REQUIRED_FOR"),
        ({"USERNAMES": "maybe"}, "USERNAMES: write required or off."),
        ({"CONFIRMATION": "1"}, "CONFIRMATION: write required, later or off."),
    ],
)
def test_switches_that_cannot_work_together_are_refused(refusal, environment, problem):
    _, said = refusal(**GOOD | environment)
    assert said.startswith(problem)


def test_sso_only_starts_with_a_provider(start):
    assert start(**GOOD | ACME, LOGIN_METHODS="none", MAIL_DELIVERY="off").config["LOGIN_METHODS"] == ("none",)


BOTH_KEYS = {"RECAPTCHA_PUBLIC_KEY": "one", "RECAPTCHA_PRIVATE_KEY": "the other"}


@pytest.mark.parametrize("name", [None, *BOTH_KEYS])
def test_recaptcha_without_both_keys_is_refused(refusal, name):
    assert "needs RECAPTCHA_PUBLIC_KEY and" in refusal(**GOOD, CAPTCHA="recaptcha", **{name: "one"} if name else {})[1]


@pytest.mark.parametrize("more", [{}, {"CAPTCHA": "off"}, {"CAPTCHA": "altcha"}])
@pytest.mark.parametrize("keys", [BOTH_KEYS, {"RECAPTCHA_PUBLIC_KEY": "one"}, {"RECAPTCHA_PRIVATE_KEY": "one"}])
def test_keys_of_a_captcha_that_is_off_are_refused(refusal, keys, more):
    """Whoever set them had a CAPTCHA, before CAPTCHA existed."""
    assert "need CAPTCHA=recaptcha. Write it, or remove the keys." in refusal(**GOOD, **keys, **more)[1]


@pytest.mark.parametrize("more", [{"CAPTCHA": "recaptcha"} | BOTH_KEYS, {"CAPTCHA": "altcha"}, {}])
def test_captcha_is_off_recaptcha_with_keys_or_altcha(start, more):
    assert start(**GOOD, **more).config["CAPTCHA"] == more.get("CAPTCHA", "off")


@pytest.mark.parametrize(
    "url",
    """
    https://api.pwnedpasswords.com/range/ https://mirror.example.com:8443/ https://10.0.0.7/range/ http://localhost/range/
    http://127.0.0.1:5001/range/ http://[::1]:5001/range/
    """.split(),
)
def test_the_address_of_pwned_passwords_is_accepted(url):
    assert create_app("testing", PWNED_PASSWORDS_URL=url).config["PWNED_PASSWORDS_URL"] == url


@pytest.mark.parametrize(
    "url",
    """
    1 api.pwnedpasswords.com https://api.pwnedpasswords.com/range http://api.pwnedpasswords.com/range/ file:///range/
    https://api.pwnedpasswords.com/?range=/ http://127.0.0.1.example.com/range/ http://localhost.example.com/
    https://me@mirror.example.com/ https:///range/
    """.split(),
)
def test_an_address_that_is_not_that_of_pwned_passwords_is_refused(refusal, url):
    _, said = refusal(**GOOD, PWNED_PASSWORDS_URL=url)
    assert said.startswith("PWNED_PASSWORDS_URL: write https://api.pwnedpasswords.com/range/")


OAUTH = {
    "MAIL_USERNAME": "mail@example.com",
    "MAIL_OAUTH_TOKEN_URL": "https://login.microsoftonline.com/example.com/oauth2/v2.0/token",
    "MAIL_OAUTH_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
    "MAIL_OAUTH_CLIENT_SECRET": "a secret",
}


def test_a_login_to_the_mail_server_by_oauth_is_complete_or_refused(start, refusal, tmp_path):
    assert start(**GOOD, **OAUTH).config["MAIL_OAUTH_SCOPE"] == "https://outlook.office365.com/.default"
    for name in OAUTH:
        assert refusal(**GOOD, **OAUTH | {name: ""})[1].startswith(f"{name} is missing. A login by OAuth needs it")
    plain = OAUTH | {"MAIL_OAUTH_TOKEN_URL": "http://login.example.com/token"}
    assert refusal(**GOOD, **plain)[1].startswith("MAIL_OAUTH_TOKEN_URL: write an https URL")
    assert refusal(**GOOD, **OAUTH, MAIL_PASSWORD="a secret")[1].startswith(
        "MAIL_PASSWORD, MAIL_OAUTH_KEY_FILE (Google)"
    )

    file = tmp_path / "key.json"
    by_key = {"MAIL_USERNAME": "mail@example.com", "MAIL_OAUTH_KEY_FILE": str(file), "MAIL_PASSWORD": ""}
    by_key |= dict.fromkeys(list(OAUTH)[1:], "")
    for text in (None, "{", "[]", '{"client_email": "a@example.com", "private_key": 1, "token_uri": ""}'):
        file.write_text(text) if text else None
        assert "can't be read, or is not a JSON key of a Google service account." in refusal(**GOOD, **by_key)[1]
    file.write_text('{"client_email": "a@example.com", "private_key": "", "token_uri": ""}')
    assert start(**GOOD, **by_key)
    assert refusal(**GOOD, **by_key | OAUTH)[1].startswith("MAIL_PASSWORD, MAIL_OAUTH_KEY_FILE (Google)")


MAIL_SETTINGS = re.findall(
    r"^## (.*)|((?:^    MAIL_\w+=.*\n)+)", (ROOT / "docs/email.md").read_text("utf-8"), re.MULTILINE
)


def test_the_mail_settings_of_each_provider_start_the_application(start, tmp_path, monkeypatch):
    key = tmp_path / "google.json"
    key.write_text('{"client_email": "a@example.com", "private_key": "", "token_uri": ""}')
    provider, started = "", []
    for heading, lines in MAIL_SETTINGS:
        provider = heading or provider
        if lines:
            settings = dict(line.strip().split("=", 1) for line in lines.splitlines())
            settings = {name: str(key) if name == "MAIL_OAUTH_KEY_FILE" else text for name, text in settings.items()}
            app = start(**GOOD | settings)
            monkeypatch.undo()  # of the environment
            started.append(provider)
            connection = app.extensions["mail"]
            assert (connection.server, connection.port) == (settings["MAIL_SERVER"], int(settings["MAIL_PORT"]))
            assert connection.use_ssl == (connection.port == 465)
            assert settings["MAIL_SENDER"] in app.config["MAIL_DEFAULT_SENDER"]
    assert len(started) == 9
    assert started[0] == started[1] == "Gmail and Google Workspace"


@pytest.mark.parametrize("length", [8, 15, 128])
def test_password_min_length_accepts_8_to_128(length):
    assert create_app("testing", PASSWORD_MIN_LENGTH=length).config["PASSWORD_MIN_LENGTH"] == length


@pytest.mark.parametrize("text", ["10.0.0.0/8, 192.0.2.7", "0.0.0.0/0 ::/0", "fd00::/8", "127.0.0.0/255.0.0.0"])
def test_trusted_proxy_networks_accept_networks_and_addresses(start, text):
    assert len(start(**GOOD, TRUSTED_PROXY_NETWORKS=text).config["TRUSTED_PROXY_NETWORKS"]) == len(text.split())


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgres://ada:secret@db/flasky", "postgresql+psycopg://ada:secret@db/flasky"),
        ("postgresql://db/flasky?sslmode=require", "postgresql+psycopg://db/flasky?sslmode=require"),
        ("postgresql+psycopg://db/flasky", "postgresql+psycopg://db/flasky"),
        ("sqlite:////srv/postgres://app.db", "sqlite:////srv/postgres://app.db"),
    ],
)
def test_postgres_urls_use_psycopg_3(configured, url, meant):
    assert meant == configured(DATABASE_URL=url).Config.SQLALCHEMY_DATABASE_URI


def test_nothing_is_prepared_so_that_pgbouncer_works(start):
    app = start(**GOOD | {"DATABASE_URL": "postgresql://127.0.0.1:6432/flasky"})
    for options in (app.config["SQLALCHEMY_ENGINE_OPTIONS"], app.config["SQLALCHEMY_BINDS"]["rate_limits"]):
        assert options["connect_args"]["prepare_threshold"] is None, "another of its connections has been prepared"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"ACCENT_COLOR": "teal"}, "ACCENT_COLOR is 'teal': write a color in hexadecimal, such as #0f766e."),
        ({"ACCENT_COLOR": "#0f766"}, "ACCENT_COLOR is '#0f766': write a color in hexadecimal, such as #0f766e."),
        ({"SUPPORT_EMAIL": "support"}, "SUPPORT_EMAIL is 'support': write one address, such as support@example.com."),
        ({"SUPPORT_EMAIL": "Us <us@example.com>"}, "SUPPORT_EMAIL is 'Us <us@example.com>': write one address, "),
        ({"HELP_URL": "/help"}, "HELP_URL is '/help': write the whole address, such as https://example.com/help."),
        ({"TERMS_URL": "javascript:alert()"}, "TERMS_URL is 'javascript:alert()': write the whole address, "),
        ({"PRIVACY_URL": "https://"}, "PRIVACY_URL is 'https://': write the whole address, "),
        ({"PRIVACY_URL": "https://example.com:0/"}, "PRIVACY_URL is 'https://example.com:0/': write the whole "),
    ],
)
def test_unusable_brand_is_refused_with_its_remedy(refusal, setting, problem):
    _, said = refusal(**GOOD, **setting)
    assert said.startswith(problem)


@pytest.mark.parametrize("color", ["#FDE68A", "#fd8", "#000"])
def test_any_hexadecimal_color_becomes_the_accent(start, color):
    light, dark = start(**GOOD, MAIL_DELIVERY="off", ACCENT_COLOR=color).config["BRAND"]
    assert light != DEFAULT.light
    assert dark != DEFAULT.dark


def test_brand_has_links_and_an_address(start):
    brand = {
        "SUPPORT_EMAIL": "help@intranet",
        "HELP_URL": "https://example.com:8443/help?a=1#b",
        "TERMS_URL": "http://t",
    }
    app = start(**GOOD, MAIL_DELIVERY="off", EMAIL_SPECIAL_DOMAINS="intranet", **brand)
    assert {name: app.config[name] for name in brand} == brand


def test_env_example_has_every_setting_with_its_default():
    example = re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    known = {name: str(int(value) if isinstance(value, bool) else value) for name, value in env.defaults.items()}
    assert dict(example) == known | {"FLASK_CONFIG": "production", "WEB_CONCURRENCY": "2"}
    assert len(example) == len(dict(example)), "one of them stands there twice"


# Development


@pytest.fixture
def checkout(tmp_path):
    """The source in a folder of its own, as a newcomer has it."""
    for name in ("app", "settings"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.py", "flasky.py", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.extended
def test_development_secret_key_is_created_once_and_private(checkout):
    show = """
import os, pathlib
from app import create_app
os.umask(0o022)
kept = pathlib.Path("instance", "secret_key")
for _ in range(2):
    print(create_app("development").secret_key)
    print(kept.read_text(), oct(kept.stat().st_mode & 0o777))
kept.unlink()
print(create_app("development").secret_key)
"""
    ran = run_python("-c", show, cwd=checkout)
    made, kept, made_again, kept_again, another = ran.stdout.splitlines()
    assert re.fullmatch("[0-9a-f]{64}", made)
    assert kept == kept_again == f"{made} 0o600"
    assert made_again == made
    assert another != made


@pytest.mark.extended
def test_production_starts_with_a_filled_in_env_example(checkout):
    text = (checkout / ".env.example").read_text()
    for name, value in (GOOD | {"PORT": "8000"}).items():
        text = re.sub(f"^#{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
    (checkout / ".env").write_text(text)
    show = "from flasky import app; print(app.config['CONFIG_NAME'], app.config['PORT'], app.secret_key)"
    server = run_python("-c", show, cwd=checkout, PYTHON_DOTENV_DISABLED="0")
    assert server.stdout == f"production 8000 {GOOD['SECRET_KEY']}\n", server.stderr


# The database's address

NO_DATABASES = "flasky sqlite:/app.db sqlite://app.db sqlite:///app.db?timeout=soon :// postgresql:/flasky".split()
NO_DATABASES += ["nonsense geheim", "postgresql://ada:geheim@db:port/flasky", "postgresql://ada:geheim@db:99999/flasky"]
NO_DATABASES += ["postgresql://db/flasky?ssl=true"]


@pytest.mark.parametrize("configuration", ["development", "production"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        *(
            (f"{scheme}://ada:geheim@db/flasky", f"begins with {scheme}://")
            for scheme in ("mysql", "mysql+pymysql", "mariadb", "oracle", "mssql+pyodbc", "http", "mongodb")
        ),
        *((f"postgresql+{driver}://db/flasky", "not supported") for driver in ("psycopg2", "asyncpg", "pg8000")),
        ("sqlite+aiosqlite:///app.db", "not supported"),
        *((url, "is not the address of a database") for url in NO_DATABASES),
    ],
)
def test_unsupported_database_url_is_refused_in_one_sentence(refusal, configuration, url, words):
    _, problem = refusal(**GOOD | {"FLASK_CONFIG": configuration, "DATABASE_URL": url})
    assert problem.startswith("DATABASE_URL ")
    assert words in problem
    assert "Write postgresql://user:password@host/name, or sqlite:////path/app.db" in problem
    assert "geheim" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///app.db",
        "sqlite:////srv/app.db",
        "POSTGRES://db/flasky",
        "postgresql:///flasky?host=/run/postgresql",
        "postgresql:///flasky?host=one:5432&host=two:5433&target_session_attrs=read-write",
        "postgresql://ada:p%40ss@[::1]:5432/flasky?sslmode=require",
    ],
)
def test_supported_database_url_is_accepted(start, url):
    start(**GOOD | {"DATABASE_URL": url}, MAIL_DELIVERY="off")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PUBLIC_URL", url) for url in ("https://example.com:99999", "https://example.com:0")),
        *(("MAIL_PORT", port) for port in ("0", "65536")),
        *(("REDIS_URL", url) for url in ("redis://host:port", "redis://host:99999/0", "localhost:6379")),
    ],
)
def test_setting_with_an_invalid_port_is_refused(refusal, name, value):
    _, problem = refusal(**GOOD | {name: value})
    assert problem.startswith(name)


# Mistyped names


# A name, and after it how people mistype it.
MISTYPED = """
MAIL_SERVER MAIL_SEVER MAIL_SERVERS mail_server MAIL_HOST, MAIL_PORT EMAIL_PORT, MAIL_PASSWORD MAIL_PASSWD,
MAIL_USE_SSL MAIL_USE_SLL, MAIL_SENDER MAIL_DEFAULT_SENDER, TRUSTED_PROXIES TRUSTED_PROXY,
TRUSTED_PROXY_NETWORKS TRUSTED_PROXY_NETWORK TRUSTED_PROXIES_NETWORKS, SECRET_KEY SECRETKEY,
SECRET_KEY_FALLBACKS SECRET_KEY_FALLBACK, DATABASE_URL DATABASE_URI DATBASE_URL SQLALCHEMY_DATABASE_URI,
PUBLIC_URL PUBLIC_ULR, PORT PROT, REDIS_URL REDIS_URI, FLASK_CONFIG FLASK_CONFG FLASK_ENV,
WEB_CONCURRENCY WEB_CONCURENCY, OIDC_PROVIDERS OIDC_PROVIDER,
OIDC_GOOGLE_CLIENT_ID OIDC_GOGLE_CLIENT_ID OIDC_GOOGLE_CLIENTID,
OIDC_GOOGLE_CLIENT_SECRET OIDC_GOOGEL_CLIENT_SECRT, OIDC_ACME_ISSUER OIDC_ACM_ISSUER,
OIDC_MY_CLUB_DOMAINS OIDC_MY_CLUB_DOMAIN, OIDC_MICROSOFT_TENANTS OIDC_MICROSFT_TENANTS,
PREVENT_ENUMERATION HIDE_ACCOUNTS, TWO_FACTOR_REQUIRED_FOR SECOND_FACTOR_FOR, CAPTCHA_ALWAYS RECAPTCHA_ALWAYS
"""
MISTAKES = [(wrong, right) for right, *wrongs in map(str.split, MISTYPED.split(",")) for wrong in wrongs]


@pytest.mark.parametrize(("name", "likely"), MISTAKES)
def test_mistyped_setting_is_named_with_the_likely_one(name, likely):
    known = {*env.defaults, "FLASK_CONFIG", "WEB_CONCURRENCY"}
    (sentence,) = names.warnings([name], known, ["google", "acme", "my_club"], ["google", "microsoft", "apple"])
    assert sentence == f"{name} is not a setting and is ignored. Did you mean {likely}?"


OF_OTHERS = """
PATH HOME USER USERNAME LOGNAME SHELL TERM LANG LANGUAGE LC_ALL TZ PWD OLDPWD HOSTNAME EDITOR PAGER MAIL
MAILCHECK MAILTO MAILPATH TMPDIR DISPLAY XDG_RUNTIME_DIR SSH_AUTH_SOCK SSH_CONNECTION VIRTUAL_ENV PYTHONPATH
PYTHONUNBUFFERED PIP_NO_CACHE_DIR PORTS REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB REDIS_TLS_URL
DATABASE_HOST DATABASE_NAME DATABASE_USER DATABASE_PASSWORD DATABASE_POOL_URL TEST_DATABASE_URL POSTGRES_USER
POSTGRES_PASSWORD POSTGRES_DB PGHOST PGPORT PGUSER PGPASSWORD PUBLIC_IP PUBLIC_KEY SERVER_NAME SERVER_PORT
SECRET SECRETS_DIR SECRET_KEY_BASE APP_ENV APP_HOME APP_PORT APP_VERSION FLASK_APP FLASK_DEBUG FLASK_RUN_PORT
FLASK_RUN_HOST FLASK_RUN_DEBUGGER FLASK_RUN_FROM_CLI FLASK_SKIP_DOTENV GUNICORN_CMD_ARGS KUBERNETES_PORT
KUBERNETES_SERVICE_HOST PROXY HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy no_proxy AWS_SECRET_ACCESS_KEY
STRIPE_SECRET_KEY SENTRY_DSN DYNO INVOCATION_ID JOURNAL_STREAM LISTEN_FDS SYSTEMD_EXEC_PID
COMPOSE_PROJECT_NAME OIDC_ISSUER
""".split()


def test_variables_of_other_programs_are_not_mistyped_settings():
    known = {*env.defaults, "FLASK_CONFIG", "WEB_CONCURRENCY"}
    assert names.warnings([*OF_OTHERS, *known], known, ["google"], ["google", "microsoft", "apple"]) == []


def test_settings_of_an_unlisted_provider_are_named(configured):
    (sentence,) = configured(**ACME, OIDC_GOOGLE_CLIENT_ID="x").Config.mistyped()
    assert sentence.startswith("OIDC_GOOGLE_CLIENT_ID is ignored, because OIDC_PROVIDERS does not name its provider.")


def test_all_provider_settings_are_known_names(configured):
    defaults = configured(**ACME).env.defaults
    read = {name.removeprefix("OIDC_ACME_") for name in defaults if name.startswith("OIDC_ACME_")}
    assert read == names.PROVIDER_PARTS


@pytest.mark.extended
def test_mistyped_setting_is_logged_at_start_and_shown_on_refusal():
    show = "import flasky"
    started = run_python("-c", show, **GOOD, MAIL_SEVER="x", MAIL_DELIVERY="off")
    assert started.returncode == 0
    assert "MAIL_SEVER is not a setting and is ignored. Did you mean MAIL_SERVER?" in started.stderr
    refused = run_python("-c", show, **without("MAIL_SERVER"), MAIL_SEVER="x")
    assert refused.returncode == 1
    _, missing, mistyped = refused.stderr.splitlines()
    assert missing.startswith("MAIL_SERVER is missing")
    assert mistyped == "MAIL_SEVER is not a setting and is ignored. Did you mean MAIL_SERVER?"


@pytest.mark.extended
def test_no_warning_for_an_ordinary_environment():
    ordinary = {name: "x" for name in OF_OTHERS if not name.startswith(("PATH", "PYTHON", "FLASK", "LANG", "LC_"))}
    assert run_python("-c", "import flasky", **ordinary | GOOD, MAIL_DELIVERY="off").stderr == ""


# flask doctor, where the application can't start

FLASK = {"FLASK_APP": "flasky.py", "FLASK_SKIP_DOTENV": "1"}


@pytest.mark.extended
@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["doctor"], {}, "SECRET_KEY is missing"),
        (["doctor"], {"FLASK_CONFIG": "staging"}, "FLASK_CONFIG is 'staging'"),
        (["--app", "flasky", "doctor"], GOOD | {"DATABASE_URL": "mysql://db/flasky"}, "DATABASE_URL begins with mysql"),
        (["doctor"], GOOD | {"DATABASE_URL": "postgresql://u:p@db:a/flasky"}, "is not the address of a database"),
        (["doctor"], without("MAIL_SERVER") | {"MAIL_SEVER": "x"}, "Did you mean MAIL_SERVER?"),
    ],
)
def test_doctor_reports_settings_that_do_not_allow_a_start(arguments, environment, words):
    ran = run_python("-m", "flask", *arguments, **FLASK | environment)
    heading, *lines = ran.stdout.splitlines()
    assert (ran.returncode, heading) == (3, "wrong  settings"), ran.stderr
    assert any(words in line for line in lines)
    assert "-      the other checks: the application has to start first" in lines
    assert ran.stderr == ""


@pytest.mark.extended
def test_doctor_reports_what_else_keeps_the_application_from_starting(checkout):
    (checkout / "instance").write_text("a file where a folder should be")
    ran = run_python("-m", "flask", "doctor", cwd=checkout, **FLASK, FLASK_CONFIG="development")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (3, "wrong  start"), ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.extended
@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("app/clock.py", "import a_lantern", "ModuleNotFoundError: No module named 'a_lantern'"),
        ("app/clock.py", "def now(:", "SyntaxError"),
        ("config.py", "1 / 0", "config.py, line 1"),
    ],
)
def test_doctor_reports_code_that_can_not_be_imported(checkout, file, text, words):
    (checkout / file).unlink()
    (checkout / file).write_text(text)
    ran = run_python("-m", "flask", "doctor", "--json", cwd=checkout, **FLASK, FLASK_CONFIG="development")
    (finding,) = map(json.loads, ran.stdout.splitlines())
    assert (ran.returncode, finding["check"]) == (3, "start"), ran.stderr
    assert words in finding["cause"]
    assert finding["remedy"]
    assert "Traceback" not in ran.stderr


@pytest.mark.extended
def test_commands_other_than_doctor_exit_with_the_reason():
    ran = run_python("-m", "flask", "users", "show", "doctor", **FLASK)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0] == "The production configuration can't start:"


@pytest.mark.extended
def test_unreadable_env_file_is_named(checkout):
    (checkout / ".env").write_bytes(b"APP_NAME=G\xe4rten\n")
    server = run_python("-c", "import flasky", cwd=checkout, **GOOD, PYTHON_DOTENV_DISABLED="0")
    _, problem = server.stderr.splitlines()
    assert problem == f"{checkout}/.env can't be read (UnicodeDecodeError). Save it as UTF-8, readable by this user."
    read = {"FLASK_SKIP_DOTENV": "1", "PYTHON_DOTENV_DISABLED": "0"}  # docs/operating.md
    doctor = run_python("-m", "flask", "--app", "flasky", "doctor", cwd=checkout, **GOOD, **read)
    assert (doctor.returncode, problem in doctor.stdout) == (3, True), doctor.stderr


# Domains of closed networks


@pytest.mark.parametrize("text", [".local,home.arpa", "local home.arpa.", "*.local, @home.arpa", " LOCAL , Home.ARPA "])
def test_email_special_domains_accept_several_spellings(start, text):
    app = start(**GOOD, EMAIL_SPECIAL_DOMAINS=text, MAIL_DELIVERY="off")
    assert app.config["EMAIL_SPECIAL_DOMAINS"] == ("local", "home.arpa")


@pytest.mark.parametrize("text", ["*", ".", "ada@local", "lo_cal", "-local", "https://local", "local;test", "a..b"])
def test_invalid_email_special_domain_is_refused(refusal, text):
    _, problem = refusal(**GOOD, EMAIL_SPECIAL_DOMAINS=text)
    assert problem.startswith("EMAIL_SPECIAL_DOMAINS has ")


@pytest.mark.parametrize("sender", ["mail@intranet", "Garden <mail@nas.intranet>", "mail@app.test"])
def test_mail_sender_in_a_special_domain_is_accepted(start, refusal, sender):
    start(**GOOD, EMAIL_SPECIAL_DOMAINS="intranet .test", MAIL_SENDER=sender, MAIL_DELIVERY="off")


def test_default_mail_sender_in_a_special_domain(start):
    app = start(**GOOD | {"PUBLIC_URL": "https://flasky.test"}, EMAIL_SPECIAL_DOMAINS="test", MAIL_DELIVERY="off")
    assert app.config["MAIL_DEFAULT_SENDER"] == '"Flasky" <no-reply@flasky.test>'


def test_provider_domains_may_be_special(start):
    app = start(**GOOD, **ACME, OIDC_ACME_DOMAINS="intranet", EMAIL_SPECIAL_DOMAINS="intranet", MAIL_DELIVERY="off")
    assert app.config["OIDC_PROVIDERS"]["acme"].domains == ("intranet",)


def test_login_methods_as_text_in_python_are_refused_with_the_way_to_write_them():
    with pytest.raises(ConfigError, match=r"In Python, write a list, such as \['magic_link', 'passkey'\]"):
        create_app("testing", LOGIN_METHODS="magic_link,passkey")
