"""Switches: what is off has no page, no link, no command, no email and no words; the rest works without it."""

import html
import re

import pytest
from flask import url_for
from support.clients import PASSWORD, on_sqlite
from support.emails import code_in, send_whole
from support.pages import is_logged_in
from support.passkeys import Key, add, asked, log_in
from support.routes import addresses, our_rules
from support.sso import travel
from support.walk import PROVIDERS, add_app, person, plausible
from werkzeug.exceptions import NotFound

from app import clock as time
from app import switches
from app.accounts import sessions
from app.cli.users import users
from app.email.outbox import recipient_hash
from app.email.templates import Email, EmailTemplate
from app.extensions import db
from app.models import AuditAction, Device, PasskeyRequirement, User
from app.request_state import SessionKey
from app.security import audit
from app.security.token_purposes import TokenPurpose

CASES = {
    "no password": {"LOGIN_METHODS": ("magic_link", "passkey")},
    "no magic link": {"LOGIN_METHODS": ("password", "passkey")},
    "no passkey": {"LOGIN_METHODS": ("password", "magic_link")},
    "no two-factor authentication": {"TWO_FACTOR": False},
    "SSO only": {"LOGIN_METHODS": ("none",), "OIDC_PROVIDERS": PROVIDERS},
    "magic link only": {"LOGIN_METHODS": ("magic_link",)},
    "passkey only": {"LOGIN_METHODS": ("passkey",)},
    "password only": {"LOGIN_METHODS": ("password",), "TWO_FACTOR": False},
    "no usernames": {"USERNAMES": "off"},
    "no confirmation": {"CONFIRMATION": "off"},
    "confirmation later": {"CONFIRMATION": "later"},
    "email address only": {"USERNAMES": "off", "CONFIRMATION": "off", "LOGIN_METHODS": ("magic_link",)},
}
WORDS = {
    "password": r"password(?! managers?\b)",
    "magic_link": r"login link|emailed link|log in with a link|log in by email",
    "passkey": r"passkey|fingerprint",
    "username": r"username",
    "confirmation": r"confirm (my|your|the) email|not confirmed",
    "two_factor": r"two-factor|authenticator|recovery code|trusted device",
}


QUICK = {"SSO only", "email address only"}  # in make test; the others in make test-all
in_all_cases = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[] if name in QUICK else pytest.mark.extended)
        for name, settings in CASES.items()
    ],
)


@pytest.fixture(autouse=True)
def providers(app):
    app.config["OIDC_PROVIDERS"] = dict(PROVIDERS)


@pytest.fixture
def stranger(client):
    return client


@pytest.fixture
def newcomer(another_client):
    """Somebody with none of the credentials that can be removed."""
    user = User(email="new@example.com", username="new", confirmed=True)
    db.session.add(user)
    db.session.commit()
    return enter(another_client, user)


@pytest.fixture
def member(app):
    """Somebody who had one of everything before it was switched off."""
    user = person(1)
    add_app(user)
    db.session.add(PasskeyRequirement(user_id=user.id))
    client = enter(app.test_client(), user)
    db.session.query(Device).update({"trusted_until": time.now().replace(year=9999)})
    db.session.commit()
    return client


def enter(client, user):
    """Log in without any of the methods, and with both factors."""
    with client.application.test_request_context():
        session = sessions.start(user, "registration", False, "a device")
        session.both_factors_at = time.now()
        db.session.commit()
    with client.session_transaction() as cookie:
        cookie[SessionKey.USER_ID] = session.id
    return client


def find_words(text):
    """Return the words about what is off that stand in a text, with what is around them."""
    off = [words for switch, words in WORDS.items() if not switches.is_on(switch)]
    return [found for words in off for found in re.findall(rf".{{0,60}}(?:{words}).{{0,30}}", text, re.IGNORECASE)]


def words_on(page):
    """Return what a person reads or hears on a page."""
    text = re.sub(r"<script.*?</script>|<style.*?</style>", " ", page.text, flags=re.DOTALL)
    labels = re.findall(r'(?:aria-label|content|title)="([^"]*)"', text)
    return html.unescape(" ".join([*re.sub(r"<[^>]+>", " ", text).split(), *labels]))


def look_at(client, url):
    """Open a page; it has no words about what is off, and no link to a page that is not there."""
    page = client.get(url, buffered=True)
    assert page.status_code < 500, url
    if page.mimetype == "text/html":
        assert find_words(words_on(page)) == [], url
        assert dead_links(client.application, page) == [], url
    return page


def dead_links(app, page):
    adapter, dead = app.url_map.bind("localhost"), []
    for url in map(html.unescape, re.findall(r'(?:href|action|data-options)="(/[^"#]*)', page.text)):
        ways = [adapter.test(url.partition("?")[0], method) for method in ("GET", "POST")]
        dead += [] if any(ways) else [url]
    return dead


def token_pages(app, user):
    """Yield the pages that emails lead to."""
    event = audit.record(user, AuditAction.EMAIL_CHANGED)
    db.session.commit()
    extra = {"event": event.id, "to": recipient_hash(user.email), "email": "moved@example.com"}
    rules = [rule.endpoint for rule in our_rules(app) if rule.arguments == {"token"}]
    tokens = [user.issue_token(purpose, **extra) for purpose in TokenPurpose]
    with app.test_request_context():
        return [url_for(endpoint, token=token) for endpoint in rules for token in tokens]


@on_sqlite
@in_all_cases
@pytest.mark.parametrize("visitor", ["stranger", "newcomer", "member"])
def test_no_page_mentions_what_is_off_or_links_to_it(app, request, visitor):
    client = request.getfixturevalue(visitor)
    for _, url in addresses(app, "GET"):
        look_at(client, url)


@on_sqlite
@in_all_cases
def test_no_page_that_an_email_leads_to_mentions_what_is_off(app, member, client, bob):
    urls = [*token_pages(app, bob), *token_pages(app, User.find("person1@example.com"))]
    for url in urls:
        look_at(client, url)


@on_sqlite
@in_all_cases
def test_pages_for_their_users_later(app, member, clock):
    """The settings ask them to reauthenticate, and their next login for a second factor."""
    clock.move(hours=1)
    for _, url in addresses(app, "GET"):
        page = member.get(url, buffered=True)
        assert page.status_code < 500, url
    assert find_words(words_on(member.get("/auth/reauthenticate"))) == []


@on_sqlite
@in_all_cases
@pytest.mark.parametrize("visitor", ["stranger", "newcomer", "member"])
def test_no_form_fails(app, request, visitor):
    client = request.getfixturevalue(visitor)
    app.testing = False  # a bug becomes a page
    for endpoint, url in addresses(app, "POST"):
        if endpoint not in {"auth.logout", "auth.delete"}:
            assert client.post(url, data=plausible(1) | {"send_code": ""}, buffered=True).status_code < 500, url
            assert client.post(url, data={"credential": "{}"}, buffered=True).status_code < 500, url


@on_sqlite
@in_all_cases
def test_no_email_mentions_what_is_off(app, outbox, bob):
    names = [name for name in Email if switches.has(f"email/{name}")]
    for name in names:
        send_whole(name, bob)
        [email] = outbox()
        for text in (email.subject, email.body, re.sub(r"<[^>]+>", " ", email.html)):
            assert find_words(" ".join(re.sub(r"https?://\S+", "", text).split())) == [], name
        outbox.clear()


@on_sqlite
@in_all_cases
def test_no_command_mentions_what_is_off(flask, ada):
    for arguments in (
        ["--help"],
        ["users", "--help"],
        ["users", "list"],
        ["users", "show", "ada@example.com"],
        ["users", "why", "ada@example.com"],
        ["users", "create", "--help"],
        ["users", "log-out", "--help"],
    ):
        assert find_words(flask(*arguments).output) == []


@on_sqlite
@in_all_cases
def test_files_at_fixed_addresses_mention_no_page_that_is_off(app, client):
    adapter = app.url_map.bind("localhost")
    allowed = re.findall(r"Allow: (\S+)\$", client.get("/robots.txt").text)
    assert allowed
    assert all(adapter.test(path) for path in allowed)
    site = client.get(re.search(r'src="([^"]+site\.js)"', client.get("/").text)[1]).text
    assert ("PublicKeyCredential" in site) == switches.is_on("passkey")


# The main stories

ADA = {"email": "ada@example.com", "username": "ada"}


def register(client, outbox):
    """Create an account, and confirm it."""
    form = ADA | ({"password": PASSWORD, "confirm_password": PASSWORD} if switches.is_on("password") else {})
    assert client.post("/auth/register", data=form).status_code == 302
    if switches.is_on("confirmation"):
        assert client.get("/auth/unconfirmed").status_code == 200
        client.get(outbox.link())
    else:
        assert outbox() == []
        User.find("ada@example.com").confirmed = True  # a first proof would remove what the story adds
        db.session.commit()
    assert is_logged_in(client)
    outbox.clear()


class People:
    """Ada, and each way to log in that is on."""

    def __init__(self, app, outbox, issuer):
        self.app, self.outbox, self.issuer, self.key = app, outbox, issuer, Key()

    def ways(self):
        ways = {"password": self.by_password, "magic_link": self.by_link, "passkey": self.by_passkey}
        return [way for switch, way in ways.items() if switches.is_on(switch)] or [self.by_provider]

    def by_password(self, client):
        client.post("/auth/login", data={"login": "ada@example.com", "password": PASSWORD})

    def by_link(self, client):
        client.post("/auth/magic-link", data={"email": "ada@example.com"})
        client.get(self.outbox.link())

    def by_passkey(self, client):
        log_in(client, self.key)

    def by_provider(self, client):
        travel(client, self.issuer, sub="ada")

    def reauthenticate(self, client):
        if switches.is_on("password"):
            return client.post("/auth/reauthenticate", data={"password": PASSWORD})
        client.post("/auth/reauthenticate", data={"send_code": "y"})
        return client.post("/auth/reauthenticate", data={"code": code_in(self.outbox()[-1])})


@pytest.fixture
def people(app, outbox, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    return People(app, outbox, issuer)


@in_all_cases
def test_stories(app, client, outbox, clock, people):
    if switches.is_on("registration"):
        register(client, outbox)
    else:
        people.by_provider(client)
    if switches.is_on("passkey"):
        assert add(client, people.key).location == "/auth/passkeys"
    for way in people.ways():
        client.post("/auth/logout")
        assert not is_logged_in(client)
        way(client)
        assert is_logged_in(client), way
    clock.move(hours=1)
    assert client.get("/auth/export").status_code == 302
    assert people.reauthenticate(client).location == "/auth/export"
    take_back(app, client, outbox, people)
    assert client.post("/auth/delete", data={"email": "ada@example.com"}).location == "/"
    people.ways()[0](client)
    assert client.post("/auth/cancel-deletion").status_code == 302
    assert is_logged_in(client)


def take_back(app, client, outbox, people):
    """In another browser, an attacker asks for the deletion. Ada takes the account back, and logs in."""
    attacker = app.test_client()
    people.ways()[0](attacker)
    attacker.post("/auth/delete", data={"email": "ada@example.com"})
    outbox()
    [link] = re.findall(r"https?://[^/\s]+(/auth/secure-account/\S+)", outbox[-1].body)
    form = {"password": PASSWORD, "confirm_password": PASSWORD} if switches.is_on("password") else {}
    assert client.post(link, data=form).location == "/auth/login"
    assert client.get(link).status_code == 410
    people.ways()[0](client)
    assert is_logged_in(client)


@on_sqlite
@in_all_cases
def test_invited_user_gets_a_way_in(flask, client, outbox, people):
    name = ["--username", "ada"] if switches.is_on("username") else []
    made = flask("users", "create", "--email", "ada@example.com", *name, "--no-input")
    assert made.exit_code == 0, made.output
    if switches.is_on("password"):
        client.post(outbox.link(), data={"password": PASSWORD, "confirm_password": PASSWORD})
        people.by_password(client)
    elif switches.is_on("registration"):
        assert client.get(outbox.link()).status_code == 200
        assert client.post(outbox.link()).status_code == 302
    else:
        assert outbox.link() == "/auth/login"
        people.by_provider(client)
    assert is_logged_in(client)


passwordless = pytest.mark.parametrize(
    "settings", [CASES[name] for name in ("no password", "magic link only", "passkey only")]
)


@passwordless
@pytest.mark.parametrize("is_concealed", [False, True])
def test_confirmation_link_logs_in_without_passwords(app, client, another_client, outbox, is_concealed):
    app.config["PREVENT_ENUMERATION"] = is_concealed
    client.post("/auth/register", data=ADA)
    page = another_client.get(outbox.link(), follow_redirects=True)
    assert "Log in as ada?" in page.text
    assert another_client.post(page.request.path).status_code == 302
    assert is_logged_in(another_client)
    assert User.find("ada").confirmed
    assert not is_logged_in(client)  # this may have been another person
    assert another_client.post(page.request.path).status_code in {302, 410}


@passwordless
def test_administrator_can_email_a_link_that_logs_in_once(flask, ada, client, another_client, outbox):
    flask("users", "send-login-link", "ada")
    link = outbox.link()
    assert client.post(link).status_code == 302
    assert is_logged_in(client)
    assert another_client.post(link).status_code == 410


@pytest.mark.parametrize("settings", [{"LOGIN_METHODS": ("magic_link", "passkey")}])
def test_password_of_before_logs_in_no_longer(client, ada):
    assert ada.password_hash
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD})
    assert not is_logged_in(client)


@on_sqlite
@pytest.mark.parametrize("settings", [case for name, case in CASES.items() if name != "SSO only"])
def test_tests_log_in_whatever_the_login_methods(client, ada):
    client.log_in(ada)
    assert is_logged_in(client)


def test_passkey_of_before_logs_in_no_longer(app, client, ada):
    client.log_in(ada)
    add(client, key := Key())
    client.post("/auth/logout")
    options = asked(client)
    app.config["LOGIN_METHODS"] = ("password", "magic_link")
    log_in(client, key, options)
    assert not is_logged_in(client)


@pytest.mark.parametrize("settings", [CASES["passkey only"]])
def test_only_passkey_can_be_removed_after_another_one_was_added(client, outbox, app):
    register(client, outbox)
    add(client, Key())
    page = re.search(r'href="(/auth/passkeys/[^"]+)"', client.get("/auth/passkeys").text)[1]
    assert "only way to log in" in client.post(f"{page}/remove", follow_redirects=True).text
    app.config["OIDC_PROVIDERS"] = {}
    add(client, Key())
    assert "was removed" in client.post(f"{page}/remove", follow_redirects=True).text


@pytest.mark.parametrize("settings", [CASES["SSO only"]])
def test_verified_address_at_a_provider_gives_an_account_that_has_no_other_login(client, ada, issuer, app, outbox):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    travel(client, issuer, sub="ada")
    assert is_logged_in(client)
    assert "Acme was connected" in outbox()[0].subject
    other = app.test_client()
    travel(other, issuer, sub="another")
    assert not is_logged_in(other)


@pytest.mark.parametrize("settings", [CASES["SSO only"]])
def test_address_that_is_not_verified_gives_no_account(client, ada, issuer, app):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    travel(client, issuer, sub="ada", email_verified=False)
    assert not is_logged_in(client)


@pytest.mark.parametrize("settings", [{"TWO_FACTOR": False}])
def test_accounts_with_two_factor_authentication_log_in_without_it(client, ada, flask):
    add_app(ada)
    db.session.commit()
    client.log_in(ada)
    assert is_logged_in(client)
    assert "TWO_FACTOR=0 turns off two-factor authentication for 1 accounts" in flask("doctor").output


@pytest.mark.parametrize("settings", [{"TWO_FACTOR": False}, {"LOGIN_METHODS": ("password",)}])
def test_account_with_a_factor_that_is_off_can_be_taken_back(app, client, another_client, ada, outbox):
    if app.config["TWO_FACTOR"]:
        db.session.add(PasskeyRequirement(user_id=ada.id))
    else:
        add_app(ada)
    db.session.commit()
    enter(client, ada).post("/auth/delete", data={"email": "ada@example.com"})
    link = re.search(r"(/auth/secure-account/\S+)", outbox()[-1].body)[1]
    new = {"password": "brighter lanterns", "confirm_password": "brighter lanterns"}
    assert another_client.post(link, data=new).location == "/auth/login"
    another_client.log_in(ada, "brighter lanterns")
    assert is_logged_in(another_client)


@pytest.mark.parametrize("settings", [CASES["no passkey"]])
def test_emails_alone_do_not_turn_off_two_factor_authentication_by_a_passkey(client, ada, outbox):
    ada.two_factor_enabled_at = time.now()
    db.session.add(PasskeyRequirement(user_id=ada.id))
    db.session.commit()
    client.post("/auth/reset", data={"email": "ada@example.com"})
    new = {"password": "brighter lanterns", "confirm_password": "brighter lanterns"}
    client.post(outbox.link(), data=new)
    link = re.search(r"(/auth/secure-account/\S+)", outbox()[-1].body)[1]
    assert client.post(link, data=new).location == "/auth/login"
    assert client.log_in(ada, "brighter lanterns").location == "/auth/two-factor/verify"


def test_everything_is_on_by_default(app):
    off = {switch for switch in switches.SWITCHES if not switches.is_on(switch)}
    assert off == {"altcha", "captcha", "passwordless"}


@pytest.mark.parametrize("settings", [{"CAPTCHA": "altcha"}])
def test_every_name_that_a_switch_removes_exists(own_app, app):
    modules = {view.__module__ for view in app.view_functions.values()} | {"app.dev.mock_provider"}
    emails = {f"email/{name}" for register in EmailTemplate.__subclasses__() for name in register}
    options = {f"--{option.name}" for command in users.commands.values() for option in command.params}
    named = {name for removed in switches.REMOVES.values() for name in removed.split()}
    assert named <= modules | emails | options | users.commands.keys() | app.view_functions.keys()


def test_mock_provider_can_be_off(tmp_path):
    from app import create_app

    options = {"SQLALCHEMY_DATABASE_URI": "sqlite://", "MAIL_DELIVERY": "off", "MAILBOX": str(tmp_path)}
    app = create_app("development", **options, MOCK_PROVIDER=False)
    assert app.config["OIDC_PROVIDERS"] == {}
    with pytest.raises(NotFound):
        app.url_map.bind("localhost").match("/dev/mock-provider/keys")
