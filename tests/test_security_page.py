"""Each figure in SECURITY.md is the code's: its rows and sentences are made here of the constants, and looked for."""

import re
from datetime import timedelta

import pytest
from limits import parse
from support.clients import ROOT
from support.retention import LIMITS as KEPT_FOR

import config
from app.accounts import (
    account_deletion,
    cleanup,
    credentials,
    device_verification,
    devices,
    passkeys,
    password_strength,
    recovery_codes,
    registration,
    secure_account,
    sessions,
    two_factor_codes,
)
from app.accounts import authenticators as apps
from app.auth import login_flow
from app.email import budgets
from app.email.templates import NOTICES_PER_HOUR
from app.models import (
    AuditEvent,
    Device,
    EmailChallenge,
    EmailChange,
    OAuthState,
    OutboxEmail,
    PasskeyChallenge,
    RemovedCredential,
    UserSession,
    email_challenge,
    oauth_state,
    passkey_challenge,
)
from app.models.logins import MAX_LOGIN_LENGTH
from app.security import hashing, login_delay, signing
from app.security.hashing import MAX_PASSWORD_LENGTH
from app.security.rate_limits import policies
from app.security.rate_limits.policies import POLICIES, SITE_WIDE
from app.security.token_purposes import TokenPurpose
from app.web import request_size
from settings import connections

PAGE = (ROOT / "SECURITY.md").read_text()

UNITS = {
    "year": timedelta(days=365),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
}
NUMBERS = {1: "one", 3: "three", 5: "five", 7: "seven", 8: "eight"}


def span(time, unit=None):
    """A time (a timedelta, or seconds) in words: "15 minutes", "1 hour", "a year"; in `unit`s where that is said."""
    time = time if isinstance(time, timedelta) else timedelta(seconds=time)
    unit = unit or next(name for name in UNITS if time >= UNITS[name] and not time % UNITS[name])
    count = time // UNITS[unit]
    words = f"{count} {unit}{'s' * (count > 1)}"
    return {"1 day": "a day", "1 year": "a year"}.get(words, words)


def word(number):
    return NUMBERS.get(number, str(number))


def rate(item):
    """A rate of the limits in words: "5 in 5 minutes", "60 an hour"."""
    item = parse(item) if isinstance(item, str) else item
    return f"{item.amount} an hour" if item.get_expiry() == 3600 else f"{item.amount} in {span(item.get_expiry())}"


# How long each is good for

LIFE = {purpose.value: purpose.lifetime for purpose in TokenPurpose}
CODE = f"{email_challenge.MAX_ATTEMPTS} attempts at the code"
LOGGED_IN = f"{span(sessions.IDLE_TIMEOUT)} idle, {span(sessions.MAX_AGE)} at most"
GOOD_FOR = {
    "confirmation link and code": f"{span(LIFE['confirm'])}, once; {CODE}",
    "reset link": f"{span(LIFE['reset'])}, once",
    "magic link and code": f"{span(LIFE['magic_link'])}, once; {CODE}",
    "code for a new device": (
        f"{span(LIFE['verify_device'])}, once; {CODE}; {span(login_flow.DEVICE_CODE_WITHIN)} after the password"
    ),
    "link to a new address": f"{span(LIFE['change_email'])}, once",
    "question to a passkey": f"{span(passkey_challenge.LIFETIME)}, once, in the browser that was asked",
    '"This wasn\'t me"': f"{span(LIFE['secure_account'])}, once",
    "two-factor authentication": f"{span(login_flow.TWO_FACTOR_WITHIN)} after the first",
    "trusted browser": span(devices.TRUST_LIFETIME),
    "oauth_state to an account elsewhere": f"{span(oauth_state.LIFETIME)}, once, in the same browser",
    "reauthentication": span(sessions.REAUTHENTICATION_LIFETIME),
    "proof of both factors, for the change of a credential": f"{span(sessions.BOTH_FACTORS_LIFETIME)}, once",
    "session": f"until it is closed; {LOGGED_IN}",
    "the same, kept logged in": (
        f"{span(sessions.REMEMBERED_IDLE_TIMEOUT)} since last use, {span(sessions.REMEMBERED_MAX_AGE)} at most"
    ),
    "account to be deleted": span(account_deletion.GRACE),
    "removed credential": f"can be restored for {span(credentials.RESTORE_WINDOW)}",
}


def table(heading):
    """The rows of the table under these column titles, as tuples of cells."""
    rows = PAGE.partition(f"{heading}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]


def test_how_long_each_is_good_for():
    assert {what: good_for for what, good_for, _ in table("| | good for | void when |")} == GOOD_FOR


def test_what_has_one_figure_there_has_one_in_the_code():
    assert credentials.RESTORE_WINDOW == secure_account.LINK_LIFETIME, (
        "what a link restores is there as long as the link"
    )
    hasty = connections.rate_limit_engine("sqlite:///x")["connect_args"]["timeout"]
    assert hasty == connections.redis_options()["socket_timeout"] == 0.5, "half a second for the counts"
    assert LIFE["reauthentication"] == sessions.REAUTHENTICATION_LIFETIME.total_seconds(), (
        "the code, and what it proves"
    )
    assert config.Config.PERMANENT_SESSION_LIFETIME == sessions.REMEMBERED_IDLE_TIMEOUT, "the cookie, and its row"


# How often anything may be tried

COUNTED_FOR = {
    policies.by_name_and_place: "a name or an address as it was typed, and a network",
    policies.by_place: "a network",
    policies.by_network: "a network",
    policies.by_account_and_device: "an account that is logged in; each device that it knows, and all others together",
    policies.by_name: "the mailbox that they go to, with whatever tag behind a plus or dots",
    policies.by_account_and_network: "an account, and a network",
}
TRIED = {
    "login": "wrong passwords",
    "login_attempts": "passwords that are checked",
    "passkey": "passkeys that are not accepted",
    "passkey_options": "questions to a passkey",
    "reauthentication": "wrong passwords of a logged-in browser",
    "code": "wrong codes, from an email, an app or a list",
    "session": "logins, by whatever method",
    "registration": "registrations, by whatever method",
    "email": "emails that are asked for",
    "mailbox": "emails that are asked for",
    "provider_start": "logins begun at a provider",
    "provider_return": "returns from a provider",
    "availability": "forms that say whether a name or an address is taken",
    "requests": "forms that are sent, whatever comes of them",
}
BESIDE_THE_TABLE = [
    (
        "emails that are asked for",
        f"{budgets.MAX_HOURLY} an hour, {budgets.MAX_DAILY} a day",
        "the address that they go to, whoever asks in whatever way",
    ),
    (
        "emails with a code for a new device",
        f"{device_verification.MAX_HOURLY} an hour, {device_verification.MAX_DAILY} a day",
        "an account",
    ),
    ("another address before the first is confirmed", f"{registration.MAX_CORRECTIONS} an hour", "an account"),
    ("known devices", f"{devices.MAX_DEVICES}; the one not seen for longest is forgotten", "an account"),
    ("sessions", f"{sessions.MAX_SESSIONS} at once; the one not seen for longest is logged out", "an account"),
    (
        "unanswered passkey challenges",
        f"{passkey_challenge.MAX_PER_BROWSER}; a new one replaces the oldest",
        "a browser",
    ),
    ("unanswered passkey challenges", f"{passkey_challenge.MAX_PER_USER}; a new one replaces the oldest", "an account"),
]


def test_how_often_anything_may_be_tried():
    made = [
        (TRIED[name], rate(said), COUNTED_FOR[by]) for name in POLICIES for by, said in POLICIES[name].rates.items()
    ]
    assert sorted(table("| | at most | counted for |")) == sorted(made + BESIDE_THE_TABLE)
    assert span(registration.CORRECTION_WINDOW) == "1 hour"


# What is kept


def kept(model):
    """How long rows of a table are kept: test_cleanup.py tries that."""
    return timedelta(days=max(days for of, days, _ in KEPT_FOR.values() if of is model))


KEPT = {
    "Sessions, codes and oauth_states to an account elsewhere for {} after": [UserSession, EmailChallenge, OAuthState],
    "questions that no passkey answered for {},": [PasskeyChallenge],
    "sent emails (never their text) for {},": [OutboxEmail],
    "changes of address for {},": [EmailChange],
    "removed credentials for {},": [RemovedCredential],
    "history and known browsers for {},": [AuditEvent, Device],
}


def test_of_all_that_goes_the_page_says_when():
    assert set().union(*KEPT.values()) == {model for model, _, _ in KEPT_FOR.values()}


# Sentences

PASSWORDS = word(parse(POLICIES["login"].rates[policies.by_name_and_place]).amount)
MAX_ATTEMPTS, PAUSE = word(two_factor_codes.MAX_ATTEMPTS), word(two_factor_codes.PAUSE // UNITS["minute"])
GOOD_AT_A_TIME = 2 * apps.DRIFT + 1
WRONG, REGISTERED = SITE_WIDE["login"], SITE_WIDE["registration"]
SENTENCES = [
    f"at most {device_verification.MAX_HOURLY} of these emails an hour and {device_verification.MAX_DAILY} a day",
    f"works for {word(LIFE['secure_account'] // 86400)} days, once",
    f"within {word(secure_account.PASSWORD_WINDOW // UNITS['hour'])} hour",
    f"within {word(sessions.BOTH_FACTORS_LIFETIME // UNITS['minute'])} minutes, and for one change",
    f"once and within {word(passkey_challenge.LIFETIME // UNITS['minute'])} minutes",
    f"An account can have {passkeys.MAX_PASSKEYS}.",
    f"A code has {word(signing.CODE_DIGITS)} digits.",
    f"One address gets at most {budgets.MAX_HOURLY} emails an hour and {budgets.MAX_DAILY} a day"
    " that strangers can ask for,",
    f"at most {budgets.MAX_DAILY * email_challenge.MAX_ATTEMPTS} attempts a day can be made"
    " at the codes of an account.",
    f"A device that the account recognises gets {budgets.MAX_HOURLY_OF_DEVICES} emails an hour"
    f" and {budgets.MAX_DAILY_OF_DEVICES} a day more,",
    f"a reset goes every {budgets.RESET_INTERVAL // UNITS['minute']} minutes",
    f"one step ({apps.STEP} seconds) early or late is accepted",
    f"A recovery code has {recovery_codes.LENGTH * 5} random bits",
    f"{MAX_ATTEMPTS.capitalize()} wrong codes, and none is looked at for {PAUSE} minutes",
    f"Of a million codes {word(GOOD_AT_A_TIME)} are good at a time.",
    f"After {two_factor_codes.MAX_FAILURES} wrong codes without a right one between",
    f"a chance of 1 in {round(10**6 / (two_factor_codes.MAX_FAILURES * GOOD_AT_A_TIME), -2):,.0f}.",
    f"The owner gets an email, {word(NOTICES_PER_HOUR)} an hour at most.",
    f"{PASSWORDS} attempts are counted for that browser alone",
    f"no more than {PASSWORDS} are looked at",
    f"From {WRONG.amount:,} wrong passwords in {span(WRONG.get_expiry())}, or {REGISTERED.amount} registrations in"
    f" {REGISTERED.get_expiry() // 60}, by all people together",
    f"After {login_delay.FREE_ATTEMPTS} wrong passwords of one name, from all networks together",
    f"up to {span(login_delay.MAX_DELAY, 'hour')}; a day without one",
    f"Of those who wait, {hashing.MAX_WAITING} a process, each is sent away (503) after {hashing.WAIT_TIMEOUT} seconds",
    *(words.format(span(kept(model))) for words, models in KEPT.items() for model in models),
    f"accounts that were never confirmed for {span(cleanup.WEEK)}.",
    f"may have caused for {KEPT_FOR['history of strangers'][1]} days, and what concerns no account for"
    f" {KEPT_FOR['history of nobody'][1]} days",
    f"it proves nothing, and lasts {span(login_flow.DEVICE_COOKIE_LIFETIME)}.",
]


@pytest.mark.parametrize("sentence", dict.fromkeys(SENTENCES))
def test_the_page_says(sentence):
    assert sentence in re.sub(r"[*\s]+", " ", PAGE)


# How much a request may bring

BROUGHT = {
    "body": f"{config.Config.MAX_CONTENT_LENGTH // 1024} KiB, {config.Config.MAX_FORM_PARTS} fields",
    "one field": f"{request_size.MAX_FIELD // 1024} KiB; a passkey's answer may fill the body",
    "path": f"{request_size.MAX_PATH // 1024} KiB",
    "query": f"{request_size.MAX_QUERY // 1024} KiB, {config.Config.MAX_FORM_PARTS} parts",
    "one header": f"{request_size.MAX_HEADER // 1024} KiB",
}


def test_how_much_a_request_may_bring():
    assert {what: most for what, most, _ in table("| | at most | else |")} == BROUGHT
    assert request_size.LONGER_FIELDS["credential"] == config.Config.MAX_CONTENT_LENGTH
    assert f"an address has {MAX_LOGIN_LENGTH} characters, a password {MAX_PASSWORD_LENGTH:,}" in PAGE
    assert f"{config.Config.PASSWORD_MIN_LENGTH} characters or more" in PAGE
    assert f"the first {password_strength.SCORED_LENGTH}\ncharacters are estimated" in PAGE
