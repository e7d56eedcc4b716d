"""`flask users why` names each obstacle to a login, and there is one for all that can refuse a login."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from limits import parse
from support.clients import PASSWORD, on_sqlite
from support.guesses import guess, known
from support.pages import is_logged_in
from support.pwned import Range
from support.refusals import policies, refusals
from support.sso import link_by_hand, set_out
from werkzeug.security import generate_password_hash

from app import languages
from app.accounts import login_obstacles, passwords
from app.accounts.login_obstacles import CHECKS, providers
from app.accounts.login_obstacles.account import (
    compromised_password,
    deactivated,
    deletion_pending,
    device_code_needed,
    failures,
    no_password,
    two_factor_needed,
    unconfirmed,
    unreadable_password,
)
from app.accounts.login_obstacles.emails import budget_used_up, mail_server_away, unreachable, unsent
from app.accounts.login_obstacles.limits import captcha_needed, network_blocked, reached
from app.auth.account_state import OPEN_ENDPOINTS
from app.email import delivery
from app.extensions import db
from app.models import OutboxEmail
from app.security.rate_limits.counters import Counter, shared_counters
from app.security.rate_limits.policies import EVERYBODY, POLICIES, SITE_WIDE

BUG = "only a defect of the program raises this"
INPUT = "the form says what is wrong with what was typed, for everybody alike"
RACE = "two requests at once; the next attempt works"
LINK = "a link or code is old, used or copied wrongly; another email has a new one"
BROWSER = "about the browser's session or cookies, not the account; the page says what to do"
SITE = "about the whole site; `flask doctor` and the log name it"
SIGN_UP = "registration, not a login"

# Each function that may run before a login succeeds and can refuse it, its number of refusals, and the check of
# app/accounts/login_obstacles that names the obstacle, or the reason why none can.
REFUSALS = {
    "accounts.blocks.check": (1, SIGN_UP),
    "accounts.blocks.is_blocked": (1, SIGN_UP),
    "accounts.blocks.refuse_network": (2, network_blocked),
    "accounts.cbor._end": (2, failures),
    "accounts.cbor.check": (1, failures),
    "accounts.device_verification.is_right": (1, failures),
    "accounts.passkey_ceremonies._check_cbor": (1, failures),
    "accounts.passkeys._is_right": (1, failures),
    "accounts.passkeys.authenticate": (1, failures),
    "accounts.password_strength.check": (2, INPUT),
    "accounts.passwords.authenticate": (1, failures),
    "accounts.passwords.refuse_compromised": (1, compromised_password),
    "accounts.registration._insert": (2, SIGN_UP),
    "accounts.registration.create": (1, SIGN_UP),
    "accounts.sso._problem": (1, RACE),
    "accounts.sso._take_over": (1, RACE),
    "accounts.sso._use": (1, RACE),
    "accounts.two_factor_codes._check_pause": (2, two_factor_needed),
    "accounts.two_factor_codes._check_stop": (1, two_factor_needed),
    "accounts.two_factor_codes._use_app_code": (2, failures),
    "accounts.two_factor_codes._use_recovery_code": (2, failures),
    "accounts.usernames.check_reserved": (1, SIGN_UP),
    "auth.access._reauthenticate": (2, BROWSER),
    "auth.access.ask_for_login": (2, BROWSER),
    "auth.access.consume_both_factors": (1, BROWSER),
    "auth.access.renew_session": (1, RACE),
    "auth.account_state._say_why_logged_out": (1, BROWSER),
    "auth.account_state.check_account_state": (1, (deletion_pending, unconfirmed, two_factor_needed)),
    "auth.confirmation._confirm_logged_out": (3, failures),
    "auth.confirmation.confirm": (3, LINK),
    "auth.device_verification._send_again": (2, device_code_needed),
    "auth.device_verification.verify_device": (1, failures),
    "auth.fields.captcha_field": (3, captcha_needed),
    "auth.forms._refuse_nul": (2, INPUT),
    "auth.forms.rule": (1, INPUT),
    "auth.invitations._accept": (1, LINK),
    "auth.invitations._register": (1, LINK),
    "auth.invitations.accept_invitation": (1, LINK),
    "auth.login._log_in_by_passkey": (1, failures),
    "auth.login.is_entered": (1, INPUT),
    "auth.login.login": (1, (failures, compromised_password, unreadable_password, no_password, unconfirmed)),
    "auth.login_flow._pending": (1, BROWSER),
    "auth.login_flow._start_session": (1, RACE),
    "auth.login_flow.complete_login": (2, deactivated),
    "auth.login_flow.restart": (2, BROWSER),
    "auth.magic_links._send": (1, budget_used_up),
    "auth.magic_links.magic_link": (1, INPUT),
    "auth.magic_links.magic_link_sent": (1, LINK),
    "auth.magic_links.use_magic_link": (3, LINK),
    "auth.passkeys.passkey_request_options": (2, BROWSER),
    "auth.passwords._after_first_proof": (2, BROWSER),
    "auth.passwords.reset_password": (2, LINK),
    "auth.registration_flow._register": (1, SIGN_UP),
    "auth.registration_flow.log_in_new": (1, SIGN_UP),
    "auth.sso._claims": (2, providers.refused),
    "auth.sso._unexpected_return": (2, BROWSER),
    "auth.sso.sso_address": (1, BROWSER),
    "auth.sso.sso_callback": (1, providers.refused),
    "auth.sso_flow._ask_for_more": (4, providers.refused),
    "auth.sso_flow.fail": (1, providers.refused),
    "auth.sso_flow.fail_at_provider": (1, providers.refused),
    "auth.sso_flow.find_provider": (1, providers.refused),
    "auth.sso_flow.link": (2, BROWSER),
    "auth.sso_flow.retry": (1, RACE),
    "auth.two_factor_verification._use_passkey": (1, failures),
    "auth.two_factor_verification._verify": (1, failures),
    "database._aware": (1, BUG),
    "email.details._encoded": (1, BUG),
    "models.user.User.lock": (1, RACE),
    "models.audit_action.Action.__new__": (1, BUG),
    "models.logins.ascii_email": (1, INPUT),
    "models.logins.check_length": (1, INPUT),
    "models.logins.check_username": (1, SIGN_UP),
    "models.logins.login_key": (1, INPUT),
    "models.logins.normal_email": (3, INPUT),
    "models.user._text": (1, BUG),
    "security.captcha.ask": (1, captcha_needed),
    "security.hash_threads.Threads._make_room": (1, SITE),
    "security.hashing.hash_password": (1, INPUT),
    "security.imported_hashes.verify": (1, unreadable_password),
    "security.login_delay.start_attempt": (1, reached),
    "security.oidc._failures": (3, providers.refused),
    "security.oidc.claims.check": (5, providers.refused),
    "security.oidc.discovery._fetch_keys": (1, providers.refused),
    "security.oidc.discovery._get": (1, providers.refused),
    "security.oidc.discovery._metadata": (1, providers.refused),
    "security.oidc.discovery._url": (1, providers.refused),
    "security.oidc.redeem": (2, providers.refused),
    "security.oidc.token_endpoint.signed_claims": (3, providers.refused),
    "security.pwned_passwords.suffixes": (1, SITE),
    "security.rate_limits._count": (1, reached),
    "security.rate_limits._start_login_attempt": (1, reached),
    "security.rate_limits.policies.check_names": (1, BUG),
    "security.remote.read_all": (1, SITE),
    "security.signing._claims": (4, LINK),
    "web.csrf.check": (1, BROWSER),
    "web.errors.invalid_link": (2, LINK),
    "web.negotiation.lead_to": (1, BROWSER),
    "web.request_size.check_lengths": (5, INPUT),
}
# The pages that hold a user back after the login.
REQUIRED_PAGES = {
    "auth.cancel_deletion": deletion_pending,
    "auth.unconfirmed": unconfirmed,
    "auth.two_factor": two_factor_needed,
}
NOTHING = """ada can log in. They may have forgotten their password.
To email a link to choose a new password: flask users send-reset ada
No login is on record.
"""
RECAPTCHA = {"CAPTCHA": "recaptcha", "RECAPTCHA_PUBLIC_KEY": "a-key", "RECAPTCHA_PRIVATE_KEY": "another"}
# What keeps a login away without refusing it: an email that does not arrive.
SILENT = {unreachable, unsent, mail_server_away, budget_used_up}
# The rate limits, and what each counts by on the way to a login.
BY_NAME = {"login", "login_attempts", "session", "mailbox"}
BY_NETWORK = {"availability", "code", "email", "passkey", "passkey_options", "provider_return", "provider_start"}
BY_NETWORK |= {"registration", "requests"}


@pytest.mark.extended
def test_there_is_an_obstacle_for_all_that_can_refuse_a_login():
    assert {name: number for name, (number, _) in REFUSALS.items()} == refusals()
    answers = [one for _, given in REFUSALS.values() for one in (given if isinstance(given, tuple) else (given,))]
    named = {one for one in answers if callable(one)} | {*REQUIRED_PAGES.values()} | SILENT
    assert named == {*CHECKS} == {check for check, _ in OBSTACLES}
    assert REQUIRED_PAGES.keys() == OPEN_ENDPOINTS.keys()
    assert policies() == BY_NAME | BY_NETWORK


class World:
    """The fixtures of a test, made when they are first asked for."""

    def __init__(self, request):
        self.request = request

    def __getattr__(self, name):
        return self.request.getfixturevalue(name)

    def why(self):
        """Return what `flask users why` says, which contains what it says as JSON."""
        lines = self.flask("users", "why", "ada", "--json").stdout.splitlines()
        said = self.flask("users", "why", "ada").stdout
        assert all(json.loads(line)["cause"] in said for line in lines)
        return said

    def change(self, **values):
        for name, value in values.items():
            setattr(self.ada, name, value)
        db.session.commit()

    def fill(self, policy, subject):
        """Fill the counter of a subject."""
        for rate in map(parse, POLICIES[policy].rates.values()):
            shared_counters().storage.incr(Counter(policy, subject, rate).key, rate.get_expiry(), rate.amount)


def is_refused(client, password=PASSWORD):
    return not is_logged_in(client) and guess(client, password=password).status_code != 302


def by_deactivation(world):
    world.flask("users", "deactivate", "ada")
    client = world.client
    client.log_in(world.ada)
    assert not is_logged_in(client)
    return "ada is deactivated. Run: flask users activate ada"


def by_deletion(world):
    world.flask("users", "delete", "ada", "--yes")
    return "ada will be deleted on"


def by_no_confirmation(world):
    world.change(confirmed=False)
    return "ada@example.com is not confirmed. Run: flask users confirm ada"


def by_no_password(world):
    world.change(password_hash=None)
    assert is_refused(world.client)
    return "ada has no password, and can log in only by an emailed link."


def by_damaged_hash(world):
    hashes = {
        "correct horse": "is of an unknown kind",
        world.ada.password_hash[:-2]: "is damaged",
        generate_password_hash(PASSWORD, "scrypt:1024:8:1")[:60]: "is damaged",
        "flask-security$2b$12$" + "a" * 21 + "." * 32: "SECURITY_PASSWORD_SALT is not set",
        "pbkdf2:md4:1$salt$00": "is of an unknown kind",
    }
    for stored, problem in hashes.items():
        world.change(password_hash=stored)
        assert is_refused(world.client)
        assert problem in world.why(), stored
    return "ada can't log in with any password, because the stored hash can't be verified."


def by_breach(world):
    service = Range(PASSWORD)
    world.app.config["PWNED_PASSWORDS_URL"] = service.url
    assert is_refused(world.client)
    service.stop()
    return "The password of ada is right, but refused at"


def by_two_factor(world):
    world.app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    assert "ada must set up two-factor authentication first" in world.why()
    phone = world.request.getfixturevalue("phone")
    world.client.log_in(world.ada)
    for _ in range(5):
        world.client.post("/auth/two-factor/verify", data={"code": phone.wrong()})
    page = world.client.post("/auth/two-factor/verify", data={"code": phone.code()})
    assert "Too many incorrect codes. Try again in five minutes" in page.text
    said = world.why()
    assert "must set up" not in said
    assert "Codes of ada are refused with this message: Too many incorrect codes." in said
    return "ada uses two-factor authentication (authenticator; 10 recovery codes left)."


def by_device_code(world):
    world.app.config["VERIFY_NEW_DEVICES"] = True
    world.change(login_count=1)
    for _ in range(6):
        world.app.test_client().log_in(world.ada)
        world.clock.move(seconds=61)
    assert "Too many were sent" in world.why()
    return "On a new device, ada also needs a code from an email to ada@example.com."


def by_provider(world):
    issuer = world.request.getfixturevalue("issuer")
    known = world.app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    link_by_hand(world.ada, issuer)
    assert "can't log in" not in world.why()
    for _ in range(3):
        set_out(world.app.test_client())
    assert "3 logins at Acme began within an hour, and none succeeded" in world.why()
    known["acme"] = issuer.provider(tenants=("another",))
    assert "OIDC_ACME_TENANTS does not name the tenant" in world.why()
    known["acme"] = replace(issuer.provider(), issuer="https://login.example.org")
    assert "OIDC_ACME_ISSUER is https://login.example.org" in world.why()
    known.clear()
    assert world.client.get("/auth/sso/acme").status_code == 404
    return "acme can't log in ada: OIDC_PROVIDERS does not name acme."


def by_refused_emails(world):
    for number in range(3):
        passwords.send_reset(world.ada)
        email = db.session.get(OutboxEmail, number + 1)
        email.done("failed", "550 5.7.1 Message rejected as spam")
    db.session.commit()
    said = world.why()
    assert "550 5.7.1 Message rejected as spam. The mail server considers the email spam" in said, (
        "with the cause in words"
    )
    return "The mail server refused the last 3 emails to ada@example.com"


def by_mail_server(world):
    passwords.send_reset(world.ada)
    db.session.commit()
    assert "No email has been sent" not in world.why()
    world.clock.move(minutes=6)
    assert "No process is delivering emails." in world.why()
    mail = world.app.extensions["mail"]
    mail.suppress, mail.server, mail.port = False, "127.0.0.1", 1  # nobody listens there
    delivery.deliver()
    assert "No mail server runs at this address and port." in world.why()
    return "No email has been sent to anyone since"


def by_budget(world):
    for _ in range(10):
        world.app.test_client().post("/auth/magic-link", data={"email": world.ada.email})
    assert len(world.outbox()) == 10
    world.app.test_client().post("/auth/magic-link", data={"email": world.ada.email})
    assert len(world.outbox()) == 10, "nothing is said, and nothing sent"
    until = world.clock.time
    assert "some requests send none until" in world.why()
    world.clock.move(hours=1, seconds=1)
    assert "some requests send none" not in world.why()
    world.clock.time = until
    return "So many emails were requested for ada@example.com"


def by_limits(world):
    for number in range(10):
        guess(world.browser_at(f"2001:db8:{number:x}::1"))
    assert guess(world.browser_at("192.0.2.9")).status_code == 429
    assert "10 incorrect passwords pause logins by password on new devices until" in world.why()
    for name in BY_NETWORK:
        world.fill(name, "2001:db8:1::/64")
    said = world.why()
    for name in BY_NETWORK:
        assert f"2001:db8:1::/64 has reached the rate limit {name}" in said
    world.flask("limits", "clear", "2001:db8:1::/64")
    assert "2001:db8:1::/64" not in world.why()
    return "flask limits clear ada"


def by_captcha(world):
    world.app.config.update(RECAPTCHA)
    for _ in range(3):
        guess(world.client)
    assert "have to solve the CAPTCHA" in world.why()
    world.clock.move(minutes=16)
    assert "CAPTCHA" not in world.why()
    rate = parse(SITE_WIDE["login"])
    shared_counters().storage.incr(Counter("login", EVERYBODY, rate).key, rate.get_expiry(), rate.amount)
    return "So many logins fail on the whole site that new devices have to solve the CAPTCHA."


def by_block(world):
    known(world.client)
    world.flask("users", "block", "127.0.0.1", "--reason", "spam", "--yes")
    assert "Your network is blocked" in guess(world.client, password=PASSWORD).text
    return "ada logged in from a network that is now blocked (127.0.0.1: spam). Run: flask users unblock 127.0.0.1"


def by_wrong_passwords(world):
    known(world.client)
    world.clock.move(seconds=1)
    for _ in range(2):
        guess(world.client)
    assert "Failed login at" in world.why()
    assert "(password, 127.0.0.1" in world.why()
    assert ", 2 times)" in world.why()
    guess(world.client, password=PASSWORD)
    assert "Failed login" not in world.why(), "it was before the last login"
    world.client.post("/auth/logout")
    world.clock.move(seconds=1)
    guess(world.client)
    return "Failed login at"


def by_bounce(world):
    world.ada.email_bounced_at = world.clock.time
    db.session.commit()
    return f"came back, so none are sent until {world.clock.time + timedelta(days=7):%Y-%m-%d}. If the address works,"


OBSTACLES = [
    (deactivated, by_deactivation),
    (deletion_pending, by_deletion),
    (unconfirmed, by_no_confirmation),
    (no_password, by_no_password),
    (unreadable_password, by_damaged_hash),
    (compromised_password, by_breach),
    (two_factor_needed, by_two_factor),
    (device_code_needed, by_device_code),
    (providers.refused, by_provider),
    (unreachable, by_bounce),
    (unsent, by_refused_emails),
    (mail_server_away, by_mail_server),
    (budget_used_up, by_budget),
    (reached, by_limits),
    (captcha_needed, by_captcha),
    (network_blocked, by_block),
    (failures, by_wrong_passwords),
]


@on_sqlite
@pytest.mark.parametrize(("check", "make"), OBSTACLES, ids=[check.__name__ for check, _ in OBSTACLES])
def test_why_names_an_obstacle(request, app, ada, clock, check, make):
    world = World(request)
    assert world.why() == NOTHING
    sentence = make(world)
    assert any(sentence in f"{found.cause} Run: {found.command}" for found in check(world.ada))
    assert sentence in world.why()
    assert world.why().startswith("ada can log in. They") is (check is failures)


@on_sqlite
def test_why_blames_nobody_for_the_wrong_passwords_of_another_account_on_the_network(flask, client, ada, bob):
    known(client)
    for _ in range(6):
        guess(client, "bob")
    assert "bob has reached the rate limit login (5 of 5)" in flask("users", "why", "bob").stdout
    assert flask("users", "why", "ada").stdout.splitlines()[0] == NOTHING.splitlines()[0]


@on_sqlite
def test_obstacles_are_in_english_for_an_administrator_who_reads_another_language(client, ada):
    guess(client, "ada")
    with languages.speaking("ar"):
        causes = [obstacle.cause for obstacle in login_obstacles.of(ada)]
    assert any(cause.startswith("Failed login at ") for cause in causes)
    assert "".join(causes).isascii()


def test_deactivated_users_get_no_link(flask, client, ada, outbox):
    flask("users", "deactivate", "ada")
    outbox().clear()
    for command in ("send-reset", "trust-next-login"):
        said = flask("users", command, "ada")
        assert (said.exit_code, said.stdout) == (1, "")
        assert "ada is deactivated. Run: flask users activate ada" in said.stderr
    assert outbox() == []


@pytest.mark.parametrize("settings", [{"VERIFY_NEW_DEVICES": True}])
def test_commands_that_would_not_help_say_so(flask, ada, clock, outbox):
    ada.password_hash, ada.email_bounced_at = None, clock.time
    db.session.commit()
    trusted = flask("users", "trust-next-login", "ada", "--yes")
    assert trusted.stdout == "ada has no password, and only logins by password need an emailed code.\n"
    sent = flask("users", "send-reset", "ada")
    assert (sent.exit_code, sent.stdout) == (1, "")
    assert "An email to ada@example.com came back" in sent.stderr
    assert outbox() == []
    assert "send-reset" not in flask("users", "why", "ada").stdout
