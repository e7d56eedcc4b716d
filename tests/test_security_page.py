"""The figures in SECURITY.md are those of the code: its rows and sentences are built here from the constants."""

import re
from datetime import timedelta
from math import log10

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
    sso,
    two_factor_codes,
)
from app.accounts import authenticators as apps
from app.auth import login_flow
from app.auth import sso as sso_views
from app.email import budgets
from app.email.templates import NOTICES_PER_HOUR
from app.models import (
    AuditEvent,
    Block,
    Device,
    EmailChallenge,
    EmailChange,
    Invitation,
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
from app.security import hash_threads, login_delay, signing
from app.security.hashing import MAX_PASSWORD_LENGTH
from app.security.rate_limits import policies
from app.security.rate_limits.policies import POLICIES, SITE_WIDE
from app.security.token_purposes import TokenPurpose
from app.web import cookies, request_size
from settings import connections, entropy

PAGE = (ROOT / "SECURITY.md").read_text()

UNITS = {
    "year": timedelta(days=365),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
}
NUMBERS = {1: "one", 3: "three", 5: "five", 7: "seven", 8: "eight", 10: "ten"}


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


# Lifetimes

LIFE = {purpose.value: purpose.lifetime for purpose in TokenPurpose}
CODE = f"{email_challenge.MAX_ATTEMPTS} attempts at the code"
LOGGED_IN = f"{span(sessions.IDLE_TIMEOUT)} idle, {span(sessions.MAX_AGE)} at most"
VALID_FOR = {
    "confirmation link and code": f"{span(LIFE['confirm'])}, once; {CODE}",
    "reset link": f"{span(LIFE['reset'])}, once",
    "magic link and code": f"{span(LIFE['magic_link'])}, once; {CODE}",
    "login link from an administrator, where there are no passwords": f"{span(LIFE['first_login'])}, once",
    "code for a new device": (
        f"{span(LIFE['verify_device'])}, once; {CODE}; {span(login_flow.DEVICE_CODE_WITHIN)} after the password"
    ),
    "code for reauthentication": f"{span(LIFE['reauthentication'])}, once; {CODE}",
    "link to a new email address": f"{span(LIFE['change_email'])}, once",
    "invitation": f"{span(LIFE['invitation'])}, once",
    "passkey challenge": f"{span(passkey_challenge.LIFETIME)}, once, in the browser that requested it",
    '"This wasn\'t me"': f"{span(LIFE['secure_account'])}, once",
    "pending two-factor authentication": f"{span(login_flow.TWO_FACTOR_WITHIN)} after the first factor",
    "trusted device": span(devices.TRUST_LIFETIME),
    "OAuth state of a login at a provider": f"{span(oauth_state.LIFETIME)}, once, in the same browser",
    "reauthentication": span(sessions.REAUTHENTICATION_LIFETIME),
    "both factors, for the change of a credential": f"{span(sessions.BOTH_FACTORS_LIFETIME)}, once",
    "session": f"until the browser is closed; {LOGGED_IN}",
    'session with "Keep me logged in"': (
        f"{span(sessions.REMEMBERED_IDLE_TIMEOUT)} since last use, {span(sessions.REMEMBERED_MAX_AGE)} at most"
    ),
    "requested account deletion": f"{span(account_deletion.GRACE)} until it is carried out",
    "removed credential": f"can be restored for {span(credentials.RESTORE_WINDOW)}",
}


def table(heading):
    """The rows of the table under these column titles, as tuples of cells."""
    rows = PAGE.partition(f"{heading}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]


def test_lifetimes():
    assert {what: valid_for for what, valid_for, _ in table("| | valid for | invalid after |")} == VALID_FOR


SECURITY_CHANGE = {"email", "password_version"}  # the columns that change with password, address and two-factor


def test_links_that_a_security_change_invalidates():
    after = {what: invalid_after for what, _, invalid_after in table("| | valid for | invalid after |")}
    named = {
        "reset link": TokenPurpose.RESET,
        "magic link and code": TokenPurpose.MAGIC_LINK,
        "login link from an administrator, where there are no passwords": TokenPurpose.FIRST_LOGIN,
        "code for a new device": TokenPurpose.VERIFY_DEVICE,
        "code for reauthentication": TokenPurpose.REAUTHENTICATION,
        "link to a new email address": TokenPurpose.CHANGE_EMAIL,
    }
    assert {what for what, said in after.items() if "link" in what and "a security change" in said} <= named.keys()
    for what, purpose in named.items():
        assert "a security change" in after[what]
        assert set(purpose.columns) >= SECURITY_CHANGE
    assert not set(TokenPurpose.CONFIRM.columns) >= SECURITY_CHANGE
    assert "login_count" in TokenPurpose.MAGIC_LINK.columns, "any login"


def test_figures_that_are_one_on_the_page_are_one_in_the_code():
    assert credentials.RESTORE_WINDOW == secure_account.LINK_LIFETIME, (
        "a removed credential is kept for as long as the link that restores it works"
    )
    hasty = connections.rate_limit_engine("sqlite:///x", {})["connect_args"]["timeout"]
    assert hasty == connections.redis_options()["socket_timeout"] == 0.5, "half a second for the counters"
    assert LIFE["reauthentication"] == sessions.REAUTHENTICATION_LIFETIME.total_seconds(), (
        "the code, and the reauthentication by it"
    )
    assert config.Config.PERMANENT_SESSION_LIFETIME == sessions.REMEMBERED_IDLE_TIMEOUT, (
        "the cookie, and the row of the session"
    )


# Rate limits

COUNTED_PER = {
    policies.by_name_and_place: "name or address as typed, and network",
    policies.by_place: "network",
    policies.by_network: "network",
    policies.by_account_and_device: "account, and device that it recognises; all other devices together",
    policies.by_name: "mailbox that they go to: dots and the tag after a plus are ignored",
    policies.by_account_and_network: "account, and network",
}
LIMITS_OF_SERVICES = [
    ("requested emails", f"{budgets.MAX_HOURLY} an hour, {budgets.MAX_DAILY} a day", "address that they go to"),
    (
        "emails with a code for a new device",
        f"{device_verification.MAX_HOURLY} an hour, {device_verification.MAX_DAILY} a day",
        "account",
    ),
    ("corrections of an unconfirmed address", f"{registration.MAX_CORRECTIONS} an hour", "account"),
    ("recognised devices", f"{devices.MAX_DEVICES}; the one not seen for longest is forgotten", "account"),
    ("sessions", f"{sessions.MAX_SESSIONS} at once; the one not seen for longest is revoked", "account"),
    (
        "unanswered passkey challenges",
        f"{passkey_challenge.MAX_PER_BROWSER}; a new one replaces the oldest",
        "browser",
    ),
    ("unanswered passkey challenges", f"{passkey_challenge.MAX_PER_USER}; a new one replaces the oldest", "account"),
]


def test_rate_limits():
    written = {(policy.strip("`"), most, per) for _, most, per, policy in table("| | at most | per | policy |")}
    assert written == {
        (name, rate(said), COUNTED_PER.get(by, by.__name__))
        for name, policy in POLICIES.items()
        for by, said in policy.rates.items()
    }


def test_limits_of_services():
    assert sorted(table("| | at most | per |")) == sorted(LIMITS_OF_SERVICES)
    assert span(registration.CORRECTION_WINDOW) == "1 hour"


# What is stored


def days(name, more=""):
    """Return the retention of a kind of rows in words; tests/test_cleanup.py deletes them."""
    count = KEPT_FOR[name][1]
    return f"{count} {'day' if count == 1 else 'days'}{more}"


STORED = {
    "sessions": days("expired sessions", " from their end"),
    "emailed codes and OAuth states": days("challenges"),
    "passkey challenges without an answer": days("challenges of passkeys"),
    "removed credentials": days("removed credentials"),
    "emails in the outbox (template and values, never a token or code)": days("emails sent", " from delivery"),
    "changes of the email address": days("changes of address"),
    "devices": days("devices", " since they were seen"),
    "invitations": days("invitations", " from their end"),
    "blocks with an end": days("blocks that ended", " from it"),
    "security history": days("history"),
    "security history: events that strangers may have caused": days("history of strangers"),
    "security history: events without an account": days("history of nobody"),
    "security history: what administrators did on the administration pages, even after the account is deleted": days(
        "history of administrators"
    ),
    "accounts that were never confirmed, if `CONFIRMATION` is `required`": span(cleanup.WEEK, "day"),
}
MODELS = {
    AuditEvent,
    Block,
    Device,
    EmailChallenge,
    EmailChange,
    Invitation,
    OAuthState,
    OutboxEmail,
    PasskeyChallenge,
    RemovedCredential,
    UserSession,
}


def test_what_is_stored_and_for_how_long():
    assert dict(table("| | deleted after |")) == STORED
    assert {model for model, _, _ in KEPT_FOR.values()} == MODELS, "a line for each table that cleanup deletes from"
    one_line = [("expired sessions", "revoked sessions"), ("challenges", "challenges of nobody", "ways to a provider")]
    for names in [*one_line, ("emails sent", "emails given up", "emails dropped")]:
        assert len({days(name) for name in names}) == 1


# Sentences

PASSWORDS = word(parse(POLICIES["login"].rates[policies.by_name_and_place]).amount)
MAX_ATTEMPTS, PAUSE = word(two_factor_codes.MAX_ATTEMPTS), word(two_factor_codes.PAUSE // UNITS["minute"])
GOOD_AT_A_TIME = 2 * apps.DRIFT + 1
GUESSES = two_factor_codes.MAX_FAILURES * recovery_codes.COUNT
RECOVERY_CODE_ODDS = round(log10(32**recovery_codes.LENGTH / GUESSES))
WRONG, REGISTERED = parse(SITE_WIDE["login"]), parse(SITE_WIDE["registration"])
SENTENCES = [
    f"at most {device_verification.MAX_HOURLY} of these emails an hour and {device_verification.MAX_DAILY} a day",
    f"works for {word(LIFE['secure_account'] // 86400)} days, once",
    f"within {word(secure_account.PASSWORD_WINDOW // UNITS['hour'])} hour",
    f"within {word(sessions.BOTH_FACTORS_LIFETIME // UNITS['minute'])} minutes, and for one change",
    f"once and within {word(passkey_challenge.LIFETIME // UNITS['minute'])} minutes",
    f"An account can have {passkeys.MAX_PASSKEYS}.",
    f"An account can have {sso.MAX_IDENTITIES} connected accounts.",
    f"A browser can have {word(sso_views.MAX_PENDING)} pending logins.",
    f"fewer than {entropy.ENOUGH} bits",
    f"A code has {word(signing.CODE_DIGITS)} digits.",
    f"One address gets at most {budgets.MAX_HOURLY} emails an hour and {budgets.MAX_DAILY} a day"
    " that anyone can request,",
    f"at most {budgets.MAX_DAILY * email_challenge.MAX_ATTEMPTS} attempts a day can be made"
    " at the codes of an account.",
    f"A device that the account recognises gets {budgets.MAX_HOURLY_OF_DEVICES} emails an hour"
    f" and {budgets.MAX_DAILY_OF_DEVICES} a day more,",
    f"a reset is sent every {budgets.RESET_INTERVAL // UNITS['minute']} minutes once the {NUMBERS[budgets.MAX_HOURLY]}",
    f"one step ({apps.STEP} seconds) early or late is accepted",
    f"A recovery code has {recovery_codes.LENGTH * 5} random bits",
    f"After {two_factor_codes.MAX_FAILURES} wrong recovery codes in a row",
    f"a chance of 1 in 10^{RECOVERY_CODE_ODDS}.",
    f"After {MAX_ATTEMPTS} wrong codes of the app, none is checked for {PAUSE} minutes",
    f"Of a million codes, {word(GOOD_AT_A_TIME)} are valid at a time.",
    f"After {two_factor_codes.MAX_FAILURES} wrong codes in a row",
    f"a chance of 1 in {round(10**6 / (two_factor_codes.MAX_FAILURES * GOOD_AT_A_TIME), -2):,.0f}.",
    f"The user is notified, at most {word(NOTICES_PER_HOUR)} times an hour.",
    f"{PASSWORDS} attempts are counted for that device alone",
    f"no more than {PASSWORDS} are checked",
    f"From {WRONG.amount:,} wrong passwords in {span(WRONG.get_expiry())}, or {REGISTERED.amount} registrations in"
    f" {REGISTERED.get_expiry() // 60}, by all users together",
    f"After {login_delay.FREE_ATTEMPTS} wrong passwords for one name, from all networks together",
    f"up to {span(login_delay.MAX_DELAY, 'hour')}. A day without",
    f"at most {hash_threads.MAX_WAIT} seconds, and at most {hash_threads.MAX_CALLS} per process",
    f"It proves nothing, and lasts {span(cookies.YEAR)}.",
]


@pytest.mark.parametrize("sentence", dict.fromkeys(SENTENCES))
def test_the_page_says(sentence):
    assert sentence in re.sub(r"[*\s]+", " ", PAGE)


# Size of a request

*SOME, LAST = [f"`{name.removeprefix('HTTP_').replace('_', '-').title()}`" for name in request_size.SHORTER_HEADERS]
[SHORTER] = {*request_size.SHORTER_HEADERS.values()}
SIZES = {
    "body": f"{config.Config.MAX_CONTENT_LENGTH // 1024} KiB, {config.Config.MAX_FORM_PARTS} fields",
    "one field": f"{request_size.MAX_FIELD // 1024} KiB; the response of a passkey may fill the body",
    "path": f"{request_size.MAX_PATH // 1024} KiB",
    "query": f"{request_size.MAX_QUERY // 1024} KiB, {config.Config.MAX_FORM_PARTS} parts",
    "one header": f"{request_size.MAX_HEADER // 1024} KiB; {SHORTER // 1024} KiB of {', '.join(SOME)} and {LAST}",
}


def test_size_of_a_request():
    assert {what: most for what, most, _ in table("| | at most | otherwise |")} == SIZES
    assert request_size.LONGER_FIELDS["credential"] == config.Config.MAX_CONTENT_LENGTH
    assert f"an address has at most {MAX_LOGIN_LENGTH} characters, a password {MAX_PASSWORD_LENGTH:,}" in PAGE
    assert f"{config.Config.PASSWORD_MIN_LENGTH} characters or more" in PAGE
    assert f"the first {password_strength.SCORED_LENGTH} characters are estimated" in PAGE
