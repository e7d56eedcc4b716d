"""Which account an external identity logs in to, and linking and unlinking identities."""

import itertools
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from support.clients import PASSWORD, on_sqlite, without_tokens
from support.concurrency import at_once, copies
from support.pages import is_logged_in
from support.records import count, history
from support.sso import START, link_by_hand, set_out, told, travel, whose

from app.accounts import passwords, registration, sessions, sso
from app.accounts.sso import ExternalIdentity
from app.extensions import db
from app.models import Identity, Passkey, User
from app.security import oidc
from settings.providers import KNOWN_PROVIDERS, Provider

CONNECTIONS = "/auth/connections"
METHODS = "/auth/login-methods"
NEW = "brighter lanterns than before"


@pytest.fixture
def settings(issuer):
    return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}


@pytest.fixture
def eve(app):
    user = User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True)
    db.session.add(user)
    db.session.commit()
    return user


ADDRESSES = {"free": "new@example.com", "ada's": "ada@example.com", "bob's": "bob@example.com", "none": None}
# For a visitor: the user whose identity it is, the address, whether it is verified; then the page after the login, and
# the user whose identity it is from then on. Ada is confirmed, Bob is not.
STRANGERS = {
    (None, "free", True): ("/", ["new"]),
    (None, "free", False): ("/auth/unconfirmed", ["new"]),
    (None, "ada's", True): ("/auth/sso/acme/link", []),
    (None, "ada's", False): ("/auth/sso/acme/link", []),
    (None, "bob's", True): ("/auth/change-username", ["bob"]),
    (None, "bob's", False): ("/auth/sso/acme/link", []),
    (None, "none", True): ("/auth/sso/acme/address", []),
    (None, "none", False): ("/auth/sso/acme/address", []),
    **{("ada", address, word): ("/", ["ada"]) for address, word in product(ADDRESSES, [True, False])},
    **{("bob", address, word): ("/auth/unconfirmed", ["bob"]) for address, word in product(ADDRESSES, [True, False])},
    ("bob", "bob's", True): ("/auth/change-username", ["bob"]),
}


@pytest.mark.parametrize(("known", "address", "word"), STRANGERS)
def test_sso_login_of_a_visitor_in_every_case(client, ada, bob, eve, issuer, known, address, word):
    ends, lets_in = STRANGERS[known, address, word]
    if known:
        link_by_hand({"ada": ada, "bob": bob}[known], issuer)
    answer = travel(client, issuer, email=ADDRESSES[address], email_verified=word, name="New")
    assert client.get(answer.location, follow_redirects=True).request.path == ends
    assert whose() == lets_in
    assert count(User) == (4 if lets_in == ["new"] else 3)
    new = User.find("new")
    assert new is None or (new.confirmed, new.password_hash) == (word, None)
    assert ada.verify_password(PASSWORD)
    assert bob.verify_password(PASSWORD) is not bob.confirmed
    assert bob.confirmed is (ends == "/auth/change-username")


@pytest.mark.parametrize(("known", "address", "word"), [*product([None, "ada", "eve"], ADDRESSES, [True, False])])
def test_sso_login_of_a_logged_in_user_in_every_case(client, ada, bob, eve, issuer, known, address, word):
    """The user started it from the page of connected accounts, so the address does not matter."""
    if known:
        link_by_hand({"ada": ada, "eve": eve}[known], issuer)
    client.log_in(ada)
    answer = travel(client, issuer, email=ADDRESSES[address], email_verified=word)
    assert answer.location == CONNECTIONS
    words = (
        "already connected to another account here"
        if known == "eve"
        else "Acme is now connected. You can log in with it."
    )
    assert words in told(client, answer)
    assert whose() == [known or "ada"]
    assert count(User) == 3
    assert not bob.confirmed


TAKEN_BACK = {
    "other devices logged out": lambda browser: browser.post("/auth/devices/revoke-others"),
    "password changed": lambda browser: browser.post(
        "/auth/change-password", data={"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
    ),
}


@pytest.mark.parametrize("take_back", TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_an_account_taken_back_while_the_provider_is_asked_gets_no_identity(
    client, another_client, ada, issuer, outbox, take_back
):
    """By whoever has a copy of the cookie, or knew the password."""
    client.log_in(ada)
    another_client.log_in(ada)
    back = issuer.agree(set_out(client))
    answers = []

    def token(handler):
        answers.append(take_back(another_client))
        issuer._token(handler)

    issuer.answers["/token"] = token
    assert client.get(back).status_code == 409
    assert [answer.status_code for answer in answers] == [302]
    assert whose() == []
    assert "identity_linked" not in history()
    assert not [email for email in outbox() if "connected" in email.subject]
    assert not is_logged_in(client)


@pytest.mark.parametrize("known", [None, "ada", "eve"])
def test_login_during_an_sso_login_is_kept(client, ada, eve, issuer, known):
    if known:
        link_by_hand({"ada": ada, "eve": eve}[known], issuer)
    back = issuer.agree(set_out(client), email="new@example.com", email_verified=True)
    client.log_in(ada)
    with client.session_transaction() as session:
        session["sso"] = re.findall(r"state=([\w-]+)", back)
    answer = client.get(back)
    assert ("You're already logged in" in told(client, answer)) is (known != "ada")
    assert (answer.location == "/") is (known == "ada")
    assert "ada" in client.get("/account").text
    assert whose() == ([known] if known else [])
    assert count(User) == 2


def test_linking_after_a_change_of_user_links_nothing(client, ada, eve, issuer):
    client.log_in(ada)
    back = issuer.agree(set_out(client))
    state = re.search(r"state=([\w-]+)", back)[1]
    client.post("/auth/logout")
    client.log_in(eve)
    with client.session_transaction() as session:
        session["sso"] = [state]
    client.get(back)
    assert whose() == []


def test_address_reserved_after_an_email_change_is_not_free_for_sso(client, another_client, ada, issuer, outbox):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "lovelace@example.com", "password": PASSWORD})
    client.get(outbox.link(-2))
    answer = travel(another_client, issuer, email="ada@example.com", email_verified=True)
    assert answer.location == "/auth/sso/acme/link"
    assert count(User) == 1


def test_proof_of_email_ownership_removes_a_planted_identity(client, another_client, issuer, outbox):
    travel(client, issuer, email="victim@example.com", email_verified=False)
    another_client.post("/auth/magic-link", data={"email": "victim@example.com"})
    another_client.get(outbox.link())
    assert is_logged_in(another_client)
    assert whose() == []
    assert travel(client, issuer, email="victim@example.com", email_verified=False).location.startswith("/auth/")
    assert not is_logged_in(client)


def test_unverified_sso_registration_confirms_by_email(client, issuer, outbox):
    travel(client, issuer, email="new@example.com", email_verified=False)
    assert client.get(outbox.link()).location == "/"
    assert User.find("new@example.com").confirmed


@pytest.mark.parametrize("settings", [{}])
@pytest.mark.parametrize("is_open", [True, False])
def test_closed_registration_lets_only_known_identities_log_in(app, client, another_client, ada, issuer, is_open):
    app.config.update(OIDC_PROVIDERS={"acme": issuer.provider()}, REGISTRATION_OPEN=is_open)
    link_by_hand(ada, issuer)
    assert travel(client, issuer).location == "/"
    for claims in ({"email": "new@example.com"}, {"email": None}):
        words = told(another_client, travel(another_client, issuer, sub="new", **claims))
        assert (
            "That Acme account isn't connected to an account here, and registration is closed." in words
        ) is not is_open
        another_client.post("/auth/logout")
    assert count(User) == (2 if is_open else 1)


@pytest.mark.parametrize("settings", [{}])
def test_concealed_sso_does_not_look_up_an_unverified_address(app, client, ada, bob, issuer):
    app.config.update(OIDC_PROVIDERS={"acme": issuer.provider()}, PREVENT_ENUMERATION=True)
    for address in ("ada@example.com", "bob@example.com", "new@example.com", None):
        words = told(client, travel(client, issuer, email=address, email_verified=False))
        assert "Acme hasn't verified your email address. Create an account, then connect it in your settings." in words
    assert count(User) == 2
    assert travel(client, issuer, email="new@example.com").location == "/"


def test_deactivated_user_can_not_log_in_by_sso(client, ada, issuer):
    link_by_hand(ada, issuer)
    ada.deactivated_at = ada.created_at
    db.session.commit()
    assert "This account has been deactivated." in told(client, travel(client, issuer))


def test_sso_login_to_an_account_pending_deletion_asks_to_cancel(client, another_client, ada, issuer):
    link_by_hand(ada, issuer)
    client.log_in(ada)
    client.post("/auth/delete", data={"email": ada.email})
    page = another_client.get(travel(another_client, issuer).location, follow_redirects=True)
    assert "Keep your account?" in page.text


GOOGLE = KNOWN_PROVIDERS["google"]
WORDS = [  # settings, claims, whether the address counts as verified
    ({}, {"email_verified": True}, True),
    ({}, {"email_verified": False}, False),
    ({}, {"email_verified": "true"}, False),
    ({}, {"email_verified": 1}, False),
    ({}, {}, False),
    ({}, {"email_verified": None, "xms_edov": True}, False),
    ({"domains": ("example.com",)}, {"email_verified": True}, True),
    ({"domains": ("acme.com",)}, {"email_verified": True}, False),
    ({"domains": ("acme.com",)}, {"email_verified": True, "hd": "example.com"}, False),
    (GOOGLE, {"email": "ada@gmail.com", "email_verified": True}, True),
    (GOOGLE, {"email": "Ada@GMail.com", "email_verified": True}, True),
    (GOOGLE, {"email": "ada@gmail.com", "email_verified": False}, False),
    (GOOGLE, {"email_verified": True}, False),
    (GOOGLE, {"email_verified": True, "hd": "example.com"}, True),
    (GOOGLE, {"email_verified": True, "hd": "example.org"}, False),
    (KNOWN_PROVIDERS["microsoft"], {"email_verified": True}, False),
    (KNOWN_PROVIDERS["microsoft"], {"xms_edov": True}, True),
    (KNOWN_PROVIDERS["microsoft"], {"xms_edov": "1"}, True),
    (KNOWN_PROVIDERS["microsoft"], {"xms_edov": False}, False),
]


@pytest.mark.parametrize(("options", "claims", "is_verified"), WORDS)
@on_sqlite
def test_provider_is_trusted_for_addresses_of_its_domains_only(app, options, claims, is_verified):
    provider = Provider(**{"name": "x", "label": "X", "issuer": "i", "client_id": "c", "client_secret": "s"} | options)
    said = oidc.understand(provider, {"iss": "i", "sub": "s", "email": "ada@example.com"} | claims)
    external_identity = sso.from_claims(provider, said)
    assert external_identity.is_verified is is_verified


NAMES = [
    ({"nickname": "Ada"}, "ada"),
    ({"preferred_username": "ada.l"}, "ada.l"),
    ({"preferred_username": "ada@corp.example"}, "ada"),
    ({"name": "Žofie  Nováková-Kováč"}, "zofie.novakova-kovac"),
    ({"name": "李小龍", "email": "bruce@example.com"}, "bruce"),
    ({"name": "李小龍", "email": "1@example.com"}, "member"),
    ({"name": "Admin"}, "new"),
    ({"name": "Adm1n", "email": "support@example.com"}, "member"),
    ({"name": "Flasky", "preferred_username": "no-reply"}, "new"),
    ({"name": "Hélp."}, "new"),
    ({"name": "eve"}, "eve2"),
    ({"name": "x" * 200}, "x" * 50),
    ({"name": "<script>alert(1)</script>"}, "script.alert.1.script"),
]


@on_sqlite
@pytest.mark.parametrize(("claims", "name"), NAMES)
def test_username_is_proposed_from_the_providers_claims(client, eve, issuer, claims, name):
    travel(client, issuer, **{"name": None, "email": "new@example.com"} | claims)
    assert db.session.scalar(select(User).where(User.id != eve.id)).username == name


ASKED = "/auth/sso/acme/address"


def test_sso_user_without_an_address_enters_one_and_confirms_it(client, issuer, outbox):
    travel(client, issuer, f"{START}?next=/auth/history", {"remember_me": "y"}, email=None)
    assert "give us a verified email address" in client.get(ASKED).text
    wrong = client.post(ASKED, data={"email": "new@"})
    assert (wrong.status_code, 'value="new@"' in wrong.text) == (422, True)
    assert client.post(ASKED, data={"email": "new@example.com"}).location == "/auth/history"
    assert client.get("/account").location == "/auth/unconfirmed"
    client.get(outbox.link())
    assert is_logged_in(client)
    assert whose() == ["ada.lovelace"]


def test_sso_user_can_not_enter_an_address_that_is_taken(client, ada, issuer):
    travel(client, issuer, email=None)
    page = client.post(ASKED, data={"email": "ADA@example.com"})
    assert page.status_code == 422
    assert "This address is already registered." in page.text
    assert whose() == []


def test_entered_address_can_not_be_verified_by_a_form_field(client, issuer):
    travel(client, issuer, email=None, email_verified=True)
    client.post(ASKED, data={"email": "new@example.com", "is_verified": "1", "email_verified": "1"})
    assert not User.find("new@example.com").confirmed


@pytest.mark.parametrize("page", [ASKED, "/auth/sso/acme/link"])
def test_external_identity_waits_in_the_session_for_15_minutes(client, ada, issuer, clock, page):
    travel(client, issuer, email=None if page == ASKED else "ada@example.com")
    clock.move(minutes=15, seconds=1)
    for method in ("GET", "POST"):
        answer = client.open(page, method=method, data={"email": "new@example.com"})
        assert "That took too long. Try again." in told(client, answer)
    assert count(User) == 1


@pytest.mark.parametrize("page", [ASKED, "/auth/sso/acme/link"])
def test_sso_pages_require_an_external_identity(client, another_client, ada, issuer, page):
    another_client.log_in(ada)
    for browser in (client, another_client):
        for answer in (browser.get(page), browser.post(page, data={"email": "new@example.com"})):
            assert answer.location in {"/auth/login", CONNECTIONS}
    assert count(User) == 1
    assert count(Identity) == 0


WORDS_OF_ADDRESSES = ["ada@example.com", "ADA@Example.com", "bob@example.com", "new@example.com", "nobody@"]
STATES = {  # what the provider says about the address
    "missing": {"email": None},
    "odd": {"email": "ada"},
    "taken": {"email": "ada@example.com"},
    "taken, without its word": {"email": "ada@example.com", "email_verified": False},
    "free, without its word": {"email": "new@example.com", "email_verified": False},
}


@pytest.mark.parametrize("settings", [{}])
@pytest.mark.parametrize("state", STATES)
@on_sqlite
def test_concealed_sso_pages_answer_alike_in_any_state(app, client, ada, bob, issuer, state):
    app.config.update(OIDC_PROVIDERS={"acme": issuer.provider()}, PREVENT_ENUMERATION=True)
    answers = set()
    for address in WORDS_OF_ADDRESSES:
        travel(client, issuer, **STATES[state])
        page = client.post(ASKED, data={"email": address})
        answers.add((page.status_code, page.location))
        assert client.get(ASKED).location == page.location
    assert len(answers) == 1
    assert (count(User), whose()) == (2, [])


@pytest.mark.parametrize("settings", [{}])
@on_sqlite
def test_concealed_sso_pages_reveal_no_account(app, client, ada, issuer):
    """The setting was turned on in the meantime, or the session is another application's."""
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    answers = set()
    for address in ("ada@example.com", "new@example.com"):
        app.config["PREVENT_ENUMERATION"] = False
        travel(client, issuer, email=None)
        app.config["PREVENT_ENUMERATION"] = True
        page = client.post(ASKED, data={"email": address})
        answers.add((page.status_code, page.location, without_tokens(client.get(page.location))))
    assert len(answers) == 1
    assert count(User) == 1


@on_sqlite
def test_each_sso_page_requires_its_own_state(client, ada, issuer):
    travel(client, issuer, email="ada@example.com")
    assert client.get(ASKED).location == client.post(ASKED, data={"email": "new@example.com"}).location == "/auth/login"
    travel(client, issuer, email=None)
    assert client.get("/auth/sso/acme/link").location == "/auth/login"
    assert client.get(ASKED).status_code == 200


TAKEN = "/auth/sso/acme/link"


def test_identity_with_a_known_address_is_linked_after_a_login(client, another_client, ada, issuer, outbox):
    travel(client, issuer, f"{START}?next=/auth/history", email="ada@example.com")
    page = client.get(TAKEN)
    assert "<strong><bdi>ada@example.com</bdi></strong> is already registered" in page.text
    login = re.search(r'href="(/auth/login\?next=[^"]+)"', page.text)[1]
    assert client.post(login, data={"login": "ada", "password": PASSWORD}).location == TAKEN
    assert whose() == []
    assert "Connect Acme?" in client.get(TAKEN).text
    assert client.post(TAKEN).location == "/auth/history"
    assert whose() == ["ada"]
    assert outbox()[-1].subject == "Acme was connected to your Flasky account"
    assert travel(another_client, issuer, email="other@example.com").location == "/"
    assert "identity_linked" in history()


def test_identity_with_a_known_address_is_linked_after_a_magic_link(client, ada, issuer, outbox):
    travel(client, issuer, email="ada@example.com")
    ask = re.search(r'href="(/auth/magic-link\?next=[^"]+)"', client.get(TAKEN).text)[1]
    client.post(ask, data={"email": "ada@example.com"})
    assert client.get(outbox.link()).location == TAKEN
    client.post(TAKEN)
    assert whose() == ["ada"]


def test_identity_is_not_linked_to_an_account_with_another_address(client, ada, eve, issuer):
    travel(client, issuer, email="ada@example.com")
    client.log_in(eve)
    answer = client.post(TAKEN)
    assert "That Acme account has a different email address." in told(client, answer)
    assert whose() == []


def test_linking_requires_reauthentication(client, ada, issuer, clock):
    travel(client, issuer, email="ada@example.com")
    client.log_in(ada)
    with client.session_transaction() as session:
        session["external_identity"]["at"] += 16 * 60
        session.modified = True
    clock.move(minutes=16)
    assert client.get(TAKEN).location == "/auth/reauthenticate"
    assert client.post(TAKEN).status_code == 403
    assert whose() == []


def subject_of(number=0):
    return db.session.scalars(select(Identity)).all()[number].id


def test_identity_is_linked_listed_and_unlinked(client, another_client, ada, issuer, outbox):
    client.log_in(ada)
    another_client.log_in(ada)
    page = client.get(CONNECTIONS).text
    assert ("Connect Acme" in page, "Connected</span>" in page) == (True, False)
    assert "Log in with an account from another service." in client.get(METHODS).text
    travel(client, issuer, email="elsewhere@example.net")
    page = client.get(CONNECTIONS).text
    assert ("elsewhere@example.net" in page, "Connected</span>" in page) == (True, True)
    page = client.get(f"{CONNECTIONS}/{subject_of()}/unlink").text
    assert "<h1>Disconnect Acme?</h1>" in page
    assert "the Acme account elsewhere@example.net. Your other" in page
    assert client.post(f"{CONNECTIONS}/{subject_of()}/unlink").location == CONNECTIONS
    assert whose() == []
    subjects = ["Acme was connected to your Flasky account", "Acme was disconnected from your Flasky account"]
    assert [email.subject for email in outbox()[-2:]] == subjects
    assert is_logged_in(client)
    page = another_client.get("/account", follow_redirects=True)
    assert page.text.count("a connected account was removed on another device") == 1
    assert {"identity_linked", "identity_unlinked"} <= set(history())


def test_last_credential_can_not_be_unlinked(client, issuer):
    travel(client, issuer)
    assert "Disconnect " not in client.get(CONNECTIONS).text
    answer = client.post(f"{CONNECTIONS}/{subject_of()}/unlink")
    assert "This is your only way to log in. Add another one before you disconnect it." in told(client, answer)
    assert whose() == ["ada.lovelace"]
    user = db.session.scalar(select(User))
    db.session.add(Passkey(user_id=user.id, name="x", credential_id="x", public_key="x", sign_count=0))
    db.session.commit()
    assert "Acme was disconnected." in told(client, client.post(f"{CONNECTIONS}/{subject_of()}/unlink"))


def test_one_of_two_identities_can_be_unlinked(client, issuer):
    travel(client, issuer)
    travel(client, issuer, sub="another")
    first, second = (subject_of(number) for number in (0, 1))
    assert "Acme was disconnected." in told(client, client.post(f"{CONNECTIONS}/{first}/unlink"))
    assert "This is your only way to log in." in told(client, client.post(f"{CONNECTIONS}/{second}/unlink"))
    assert [identity.subject for identity in db.session.scalars(select(Identity))] == ["another"]


@pytest.mark.parametrize("number", ["0", "2147483647", "9223372036854775808", "-1", "x", "%00"])
def test_unlinking_an_unknown_identity_is_not_found(client, ada, number):
    client.log_in(ada)
    assert client.post(f"{CONNECTIONS}/{number}/unlink").status_code == 404


def test_unlinking_the_identity_of_another_user_is_not_found(client, another_client, ada, eve, issuer):
    client.log_in(ada)
    travel(client, issuer)
    another_client.log_in(eve)
    assert another_client.post(f"{CONNECTIONS}/{subject_of()}/unlink").status_code == 404
    assert "Acme</strong>" not in another_client.get(CONNECTIONS).text
    assert whose() == ["ada"]


def test_account_has_ten_linked_identities_at_most(client, ada, eve, issuer):
    client.log_in(ada)
    for number in range(11):
        page = travel(client, issuer, sub=f"number {number}")
    assert "You can connect 10 accounts at most. Disconnect one first." in told(client, page)
    assert len(whose()) == 10
    assert "Acme is now connected" in told(client, travel(client, issuer, sub="number 3"))  # a linked one
    client.post(f"{CONNECTIONS}/{subject_of()}/unlink")
    assert "Acme is now connected" in told(client, travel(client, issuer, sub="number 10"))
    assert len(whose()) == 10


def come_back(tab):
    browser, address = tab
    return browser.get(address)


def test_identity_linked_by_two_users_at_once_belongs_to_one(app, ada, eve, issuer):
    for number in range(4):
        browsers = [app.test_client() for _ in range(2)]
        backs = []
        for browser, user in zip(browsers, (ada, eve), strict=True):
            browser.log_in(user)
            backs.append(issuer.agree(set_out(browser), sub=f"number {number}"))
        pages = at_once(come_back, list(zip(browsers, backs, strict=True)))
        words = sorted(told(browser, page) for browser, page in zip(browsers, pages, strict=True))
        assert sum("Acme is now connected" in said for said in words) == 1
        assert sum("already connected to another account here" in said for said in words) == 1
        assert len(whose()) == number + 1


def test_limit_of_ten_identities_holds_for_links_at_once(client, ada, issuer):
    for number in range(9):
        link_by_hand(ada, issuer, f"number {number}")
    client.log_in(ada)
    browsers = copies(client, 4)
    backs = [issuer.agree(set_out(browser), sub=f"new {number}") for number, browser in enumerate(browsers)]
    at_once(come_back, list(zip(browsers, backs, strict=True)))
    assert len(whose()) == 10


def test_two_first_sso_logins_at_once_create_one_account(app, issuer):
    browsers = [app.test_client() for _ in range(4)]
    backs = [issuer.agree(set_out(browser), email="new@example.com", email_verified=True) for browser in browsers]
    pages = at_once(come_back, list(zip(browsers, backs, strict=True)))
    assert [page.location for page in pages] == ["/"] * 4
    assert (count(User), len(whose())) == (1, 1)


def log_in(user, keep):
    _, found = sso.account_for(ExternalIdentity("acme", "https://acme.example", "linked", None, False, ()), {})
    return found and sessions.start(found, "sso:acme", device=secrets.token_urlsafe(32))


def link(user, keep):
    sso.link(user, ExternalIdentity("acme", "https://acme.example", secrets.token_hex(), None, False, ()))


def unlink(user, keep):
    number = db.session.scalar(select(Identity.id).where(Identity.subject == "linked"))
    sso.unlink(user, number, keep)


def change_password(user, keep):
    passwords.change(user, PASSWORD, keep)


def log_out_others(user, keep):
    sessions.revoke_others(user, keep)
    sessions.renew_id(keep)


DOINGS = [log_in, link, unlink, change_password, log_out_others]


@pytest.mark.parametrize("settings", [{"RATELIMIT_ENABLED": False}], ids=["unlimited"])
@pytest.mark.parametrize(("first", "second"), [*itertools.combinations_with_replacement(DOINGS, 2)])
@pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.extended)], indirect=True)
def test_changes_to_the_identities_of_one_account_at_once_do_not_deadlock(app, ada, first, second):
    number = ada.id

    def ready(service, place):
        with app.test_request_context():
            user = db.session.get(User, number)
            keep = sessions.find_all(user)[place]
            start.wait(120)
            try:
                service(user, keep)
                db.session.commit()
            except (registration.Taken, IntegrityError):  # the views retry
                db.session.rollback()

    for _ in range(8):
        db.session.add(Identity(user_id=number, provider="acme", issuer="https://acme.example", subject="linked"))
        for _ in range(4):
            sessions.start(ada, "password", device=secrets.token_urlsafe(32))
        db.session.commit()
        start = threading.Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ready, (first, second, first, second), range(4)))
        db.session.execute(delete(Identity))
        db.session.commit()


def test_sso_login_asks_for_two_factor_unless_the_provider_is_trusted_with_it(app, client, another_client, ada, issuer):
    link_by_hand(ada, issuer)
    ada.two_factor_enabled_at = ada.created_at
    db.session.commit()
    assert travel(client, issuer, f"{START}?next=/auth/history").location == "/auth/two-factor/verify"
    assert not is_logged_in(client)
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider(two_factor=False)}
    assert travel(another_client, issuer).location == "/"


def test_identity_of_a_provider_that_was_removed_from_the_settings_is_listed(app, client, ada, issuer):
    client.log_in(ada)
    travel(client, issuer)
    app.config["OIDC_PROVIDERS"] = {}
    assert "acme" in client.get(CONNECTIONS).text
    assert "acme" in client.get(METHODS).text
    client.post(f"{CONNECTIONS}/{subject_of()}/unlink")
    assert whose() == []
