"""Blocks: addresses, domains and networks that may not register; who and what they leave alone."""

import json
import logging

import pytest
from sqlalchemy import event, insert, select
from support.clients import PASSWORD, on_sqlite
from support.flows import registration
from support.pages import is_logged_in
from support.sso import START, travel

from app.accounts import blocks, cleanup, jobs
from app.extensions import db
from app.models import AuditEvent, Block, User
from app.models.block import keys_covering

REFUSED = "This email address can&#39;t be used here."


@pytest.fixture
def block(app):
    def add(subject, days=None):
        blocks.add(subject, "spam", blocks.end_after(days))
        db.session.commit()

    return add


def register(browser, email, name="eve"):
    return browser.post("/auth/register", data=registration(name, email))


COVERED = [
    ("eve@example.com", "Eve+news@EXAMPLE.com", True),
    ("e.v.e@gmail.com", "eve@googlemail.com", True),
    ("eve@example.com", "eva@example.com", False),
    ("eve@example.com", "eve@mail.example.com", False),
    ("example.com", "eve@mail.example.com", True),
    ("@example.com", "eve@example.com", True),
    ("*.Example.com", "eve@example.com", True),
    ("*@example.com", "eve@example.com", True),
    ("gmail.com", "eve@googlemail.com", True),
    ("googlemail.com", "eve@gmail.com", True),
    ("gmail.com", "eve@mail.googlemail.com", True),
    ("mygmail.com", "eve@mygooglemail.com", False),
    ("gmail.com.example.org", "eve@googlemail.com.example.org", False),
    ("example.com", "eve@notexample.com", False),
    ("mail.example.com", "eve@example.com", False),
    ("bücher.example.com", "eve@xn--bcher-kva.example.com", True),
    ("xn--bcher-kva.example.com", "eve@BÜCHER.example.com", True),
]


@on_sqlite
@pytest.mark.parametrize(("subject", "email", "is_covered"), COVERED)
def test_a_block_covers_all_spellings_of_an_address_and_all_subdomains(block, subject, email, is_covered):
    block(subject)
    assert bool(blocks.find(email)) is is_covered


NETWORKS = [
    ("192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.8", False),
    ("192.0.2.0/24", "192.0.2.255", True),
    ("192.0.2.99/24", "192.0.3.0", False),
    ("::ffff:192.0.2.7", "192.0.2.7", True),
    ("::ffff:192.0.2.0/120", "192.0.2.7", True),
    ("2001:db8::1", "2001:db8::ffff", True),  # a customer has the whole /64
    ("2001:db8::/48", "2001:db8:0:ffff::1", True),
    ("2001:db8::/48", "2001:db8:1::1", False),
]


@on_sqlite
@pytest.mark.parametrize(("subject", "ip", "is_covered"), NETWORKS)
def test_a_block_covers_a_network_in_any_notation(block, browser_at, subject, ip, is_covered):
    block(subject)
    seen = f"::ffff:{ip}" if "." in ip else ip
    assert register(browser_at(seen), "eve@example.com").status_code == (403 if is_covered else 302)


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": False}, {"PREVENT_ENUMERATION": True}])
def test_a_blocked_address_gets_the_same_answer_whether_or_not_it_has_an_account(client, ada, block, outbox):
    block("example.com")
    pages = [register(client, email) for email in ("ada@example.com", "eve@example.com")]
    assert [page.status_code for page in pages] == [422, 422]
    assert [REFUSED in page.text and "already" not in page.text for page in pages] == [True, True]
    assert db.session.scalars(select(User)).all() == [ada]
    assert outbox() == []


def test_a_blocked_address_can_be_neither_changed_to_nor_corrected_to(client, another_client, ada, bob, block, outbox):
    block("example.org")
    client.log_in(ada)
    another_client.log_in(bob)
    page = client.post("/auth/change-email", data={"email": "ada@example.org", "password": PASSWORD})
    correction = another_client.post("/auth/unconfirmed", data={"email": "bob@example.org"})
    assert (REFUSED in page.text, REFUSED in correction.text, outbox()) == (True, True, [])


@on_sqlite
def test_an_address_that_was_blocked_after_the_request_is_not_changed_to(client, ada, block, outbox):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "ada@example.org", "password": PASSWORD})
    link = next(link for link in map(outbox.link, range(2)) if "/change-email/" in link)
    block("example.org")
    assert client.get(link).status_code == 410
    assert ada.email == "ada@example.com"


def test_an_account_with_a_blocked_address_stays(client, ada, block):
    block("example.com")
    client.log_in(ada)
    assert is_logged_in(client)
    assert client.post("/auth/change-username", data={"username": "lovelace"}).status_code == 302


class TestProvider:
    @pytest.fixture
    def settings(self, issuer):
        return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}

    def test_no_account_is_created_for_a_blocked_address_from_a_provider(self, client, ada, issuer, block):
        block("example.com")
        for email in ("eve@example.com", ada.email):
            answer = travel(client, issuer, sub=email, email=email)
            assert answer.location == "/auth/login"
            assert "can&#39;t be used here" in client.get("/auth/login").text
        assert db.session.scalars(select(User)).all() == [ada]

    def test_no_login_at_a_provider_starts_from_a_blocked_network(self, browser_at, block):
        block("192.0.2.7")
        assert browser_at("192.0.2.7").post(START).status_code == 403


FORMS = {
    "/auth/login": {"login": "ada", "password": PASSWORD},
    "/auth/register": registration("eve", "eve@example.com"),
    "/auth/reset": {"email": "ada@example.com"},
    "/auth/magic-link": {"email": "ada@example.com"},
    "/auth/passkeys/request-options": {},
}


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@example.com"}])
def test_a_blocked_network_gets_pages_and_probes_but_sends_no_form(browser_at, ada, block, outbox, caplog):
    inside, outside = browser_at("192.0.2.7"), browser_at("198.51.100.1")
    inside.log_in(ada)
    block("192.0.2.0/24")
    stranger = browser_at("192.0.2.8")
    with caplog.at_level(logging.WARNING, "security"):
        for path, form in FORMS.items():
            page = stranger.post(path, data=form)
            assert (page.status_code, "help@example.com" in page.text) == (403, True), path
            assert "Your network is blocked" in page.text
    refused = [record for record in caplog.records if record.getMessage() == "refused"]
    assert [vars(record)["event.reason"] for record in refused] == ["blocked network"] * len(FORMS)
    answer = stranger.post("/auth/login", json={}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["error"]) == (403, "Your network is blocked")
    assert [stranger.get(path).status_code for path in ("/", "/auth/login", "/healthz", "/readyz")] == [200] * 4
    assert is_logged_in(inside), "sessions stay"
    assert inside.post("/auth/change-username", data={"username": "lovelace"}).status_code == 302
    assert outside.post("/auth/login", data=FORMS["/auth/login"] | {"login": "lovelace"}).status_code == 302
    assert {email.subject for email in outbox()} == {"New login to your Flasky account"}


def test_a_link_logs_nobody_in_from_a_blocked_network(browser_at, ada, outbox, block):
    browser = browser_at("192.0.2.7")
    browser.post("/auth/magic-link", data={"email": ada.email})
    block("192.0.2.7")
    assert browser.get(outbox.link()).status_code == 403
    blocks.remove("192.0.2.7")
    db.session.commit()
    assert browser.get(outbox.link()).status_code == 302, "the link was not used up"


def test_a_block_ends_by_itself_and_is_deleted_a_month_later(client, clock, block):
    block("example.com", days=3)
    block("example.org")
    assert register(client, "eve@example.com").status_code == 422
    clock.move(days=3)
    assert register(client, "eve@example.com").status_code == 302
    clock.move(days=31)
    assert jobs.run("ended_blocks", even_if_done=True).count == 1
    assert [row.subject for row in db.session.scalars(select(Block))] == ["example.org"]
    assert "ended_blocks" in cleanup.registered


# flask users block


def test_commands_block_list_and_unblock(flask, client):
    done = flask("users", "block", "Example.org", "--reason", "spam", "--days", "7")
    assert done.stdout == "example.org is blocked. To undo: flask users unblock example.org\n"
    assert flask("users", "block", "example.org", "--reason", "more spam", "--until", "2031-05-04").exit_code == 0
    [row] = [json.loads(line) for line in flask("users", "blocks", "--json").stdout.splitlines()]
    assert row.items() >= {"subject": "example.org", "reason": "more spam", "active": True, "by": None}.items()
    assert "2031-05-04" in row["until"]
    assert "example.org" in flask("users", "blocks").stdout
    assert [event.action for event in db.session.scalars(select(AuditEvent))] == ["blocked"] * 2
    assert "is no longer blocked" in flask("users", "unblock", "@EXAMPLE.org").stdout
    assert flask("users", "unblock", "example.org").stdout == "example.org was not blocked.\n"
    assert register(client, "eve@example.org").status_code == 302


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("example.org", "2 accounts have such an address and stay."),
        ("mail.example.org", "1 account has such an address and stays."),
        ("eve.x@example.org", "1 account has such an address and stays."),
        ("gmail.com", "1 account has such an address and stays."),
        ("mygmail.com", ""),
        ("xample.org", ""),
        ("ev@example.org", ""),
        ("e_e.x@example.org", ""),
        ("192.0.2.1", ""),
    ],
)
def test_a_block_says_how_many_accounts_with_such_an_address_stay(flask, app, subject, said):
    near = ["e.ve.x+news@example.org", "eve@mail.example.org", "eve@notexample.org"]
    for number, email in enumerate([*near, "x@googlemail.com", "x@mygooglemail.com"]):
        db.session.add(User(email=email, username=f"eve{number}"))
    db.session.commit()
    done = flask("users", "block", subject, "--reason", "spam")
    assert done.exit_code == 0
    assert said in done.stderr
    assert bool(said) is ("such an address" in done.stderr)


@pytest.mark.parametrize("subject", ["", "no domain", "x@", "192.0.2.0/99", "x..com", "1.2.3", "\0", "a" * 300, "*"])
def test_nonsense_is_not_blocked(flask, subject):
    result = flask("users", "block", subject, "--reason", "x")
    assert (result.exit_code, "Error:" in result.stderr) == (1, True)
    assert db.session.scalars(select(Block)).all() == []


WIDE = {
    "0.0.0.0/0": "4,294,967,296 addresses",
    "::/0": "addresses",
    "10.0.0.0/8": "16,777,216 addresses",
    "com": "end in .com",
    "192.0.2.0/24": "An administrator is logged in from this network (192.0.2.7)",
}


@pytest.mark.parametrize(("subject", "words"), WIDE.items())
def test_what_could_keep_everybody_or_administrators_out_needs_confirmation(flask, browser_at, ada, subject, words):
    ada.is_admin = True
    db.session.commit()
    browser_at("192.0.2.7").log_in(ada)
    asked = flask("users", "block", subject, "--reason", "x", "--no-input")
    assert (asked.exit_code, words in asked.stderr) == (2, True)
    assert flask("users", "block", subject, "--reason", "x", typed="n\n").exit_code == 1
    assert db.session.scalars(select(Block)).all() == []
    assert flask("users", "block", subject, "--reason", "x", "--yes").exit_code == 0


@on_sqlite
@pytest.mark.parametrize("settings", [{"EMAIL_SPECIAL_DOMAINS": ("intranet",)}])
def test_address_in_a_domain_without_a_dot_needs_no_confirmation(app):
    assert blocks.objection("eve@intranet") is None
    assert "end in .intranet" in blocks.objection("intranet")


def test_nobody_blocks_their_own_network(app):
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        with pytest.raises(ValueError, match=r"your own network: your address is 192\.0\.2\.7"):
            blocks.add("192.0.2.0/24", "x")
        blocks.add("192.0.3.0/24", "x")


def test_commands_give_no_account_a_blocked_address(flask, ada, block):
    block("example.com")
    changed = flask("users", "set-email", "ada", "lovelace@example.com")
    assert (changed.exit_code, "can't be used here" in changed.stderr) == (1, True)
    result = flask("users", "create", "--email", "eve@example.com", "--username", "eve", "--no-input")
    assert (result.exit_code, "can't be used here" in result.stderr) == (1, True)


def test_why_names_the_block_of_a_network_from_which_a_user_logged_in(flask, browser_at, ada, block):
    browser_at("192.0.2.7").log_in(ada)
    assert "is blocked now" not in flask("users", "why", "ada").stdout
    block("192.0.2.0/24")
    said = flask("users", "why", "ada").stdout
    assert "ada logged in from a network that is now blocked (192.0.2.0/24: spam)." in said
    assert "flask users unblock 192.0.2.0/24" in said


# Cost


@on_sqlite
def test_ten_thousand_blocks_are_searched_by_one_query_along_an_index(app):
    now = {"reason": "x", "created_at": app.extensions and blocks.end_after(0)}
    rows = [{"subject": f"{n}.example", "key": f"{n}.example"} | now for n in range(5000)]
    rows += [{"subject": str(n), "key": f"10.{n // 250}.{n % 250}.0/24"} | now for n in range(5000)]
    db.session.execute(insert(Block), rows)
    db.session.commit()
    asked = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    for subject in ("eve@mail.4999.example", "10.19.249.7", "eve@example.com", "2001:db8::1"):
        asked.clear()
        assert len(blocks.find(subject)) == (subject in {"eve@mail.4999.example", "10.19.249.7"})
        [(statement, values)] = asked
        plan = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        assert [step[3].partition(" USING ")[0] for step in plan] == ["SEARCH blocks"], plan
        assert len(keys_covering(subject)) <= 65


@on_sqlite
def test_the_list_of_blocks_sends_no_control_characters_to_a_terminal(app, flask):
    blocks.add("x.example.org", "a\x1b]0;b\x07c\u202ed")
    db.session.commit()
    assert "a ]0;b c d" in flask("users", "blocks").output
