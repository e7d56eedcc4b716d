"""Account deletion: requested, cancelled within 14 days, and carried out."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from support.authenticators import set_up
from support.clients import JSON, PASSWORD, without_tokens
from support.lives import live
from support.login_methods import by_code, by_link, by_password, by_reset
from support.pages import notes
from support.passwords import NEW
from support.records import history, rows
from support.routes import addresses

from app.accounts import account_deletion, cleanup, personal_data
from app.auth.account_state import WITHOUT_SESSION
from app.email import delivery
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User, UserSession
from app.security import hashing


def ask(client, email="ada@example.com", **request):
    """Send the form that requests the deletion."""
    return client.post("/auth/delete", data={"email": email}, **request)


def purge():
    """Run the job that deletes the accounts that are due, and return how many it deleted."""
    outcome = cleanup.run("deleted_accounts", even_if_done=True)
    return outcome and outcome.count


def held(word):
    """Return the names of the tables that contain a word, in any case."""
    return [name for name, found in rows().items() if word.casefold() in str(found).casefold()]


@pytest.fixture
def leaving(client, ada, outbox, clock):
    """Ada, after she has requested the deletion; she is logged out."""
    client.log_in(ada)
    ask(client)
    outbox()
    return ada


@pytest.mark.parametrize("typed", ["ada@example.com", " ADA@Example.COM "])
def test_deletion_request_revokes_all_sessions_and_emails_the_date(client, another_client, ada, outbox, clock, typed):
    for browser in (client, another_client):
        browser.log_in(ada, remember_me="y")
    day = f"{clock.time + timedelta(days=14):%-d %B %Y}"
    assert f"permanently deleted on <strong>{day}</strong>" in client.get("/auth/delete").text
    waiting = len(outbox())
    answer = ask(client, typed)
    assert answer.location == "/"
    assert notes(client.get("/")) == [f"Your account will be deleted on {day}. To keep it, log in before then."]
    assert notes(client.get("/account", follow_redirects=True)) == ["Log in to open this page."]
    elsewhere = another_client.get("/account", follow_redirects=True)
    assert elsewhere.request.path == "/auth/login"
    assert notes(elsewhere) == ["You were logged out because your account is scheduled for deletion."]
    assert not db.session.scalars(select(UserSession).where(*UserSession.active())).all()

    [email] = outbox()[waiting:]
    assert (email.subject, email.recipients) == (f"Your Flasky account will be deleted on {day}", ["ada@example.com"])
    assert f"permanently deleted on {day}." in email.body
    assert "IP address: 127.0.0.1" in email.body
    assert outbox.link() == "/auth/login"
    assert history()[-1] == "deletion_requested"


@pytest.mark.parametrize("typed", ["", "ada", "bob@example.com", "ada@example.org"])
def test_deletion_needs_the_email_address_of_the_account(client, ada, bob, typed):
    client.log_in(ada)
    before = rows()
    page = ask(client, typed)
    assert (page.status_code, "is-invalid" in page.text) == (422, True)
    assert f'value="{typed}"' in page.text
    assert rows() == before
    refused = ask(client, typed, headers=JSON)
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["email"])


def test_pending_deletion_keeps_email_address_and_username_taken(client, another_client, leaving, bob, clock):
    bob.confirmed = True
    db.session.commit()
    clock.move(days=13)
    form = {"email": "eve@example.com", "username": "eve", "password": NEW, "confirm_password": NEW}
    for taken in ({"email": "ADA@example.com"}, {"username": "ADA"}):
        assert client.post("/auth/register", data=form | taken).status_code == 422
    another_client.log_in(bob)
    address = {"email": "ada@example.com", "password": PASSWORD}
    assert another_client.post("/auth/change-email", data=address).status_code == 422
    assert another_client.post("/auth/change-username", data={"username": "Ada"}).status_code == 422
    clock.move(days=1)
    assert purge() == 1
    another_client.log_in(User.find("bob"))
    assert another_client.post("/auth/change-username", data={"username": "Ada"}).location == "/account"
    assert client.post("/auth/register", data=form | {"email": "ada@example.com"}).status_code == 302
    assert client.get("/auth/unconfirmed").status_code == 200


@pytest.mark.parametrize("way", [by_password, by_link, by_code, by_reset])
def test_every_login_method_leads_to_the_page_that_cancels_a_deletion(client, leaving, outbox, way):
    arrived_at = way(client, outbox)
    page = client.get(arrived_at, follow_redirects=True)
    assert page.request.path == "/auth/cancel-deletion"
    assert f"<strong>{leaving.deletion_due_at:%-d %B %Y}</strong>" in page.text
    assert client.post("/auth/cancel-deletion").location == arrived_at
    assert client.get("/account").status_code == 200


def test_pending_deletion_closes_all_other_pages_and_get_changes_nothing(app, client, leaving):
    client.log_in(leaving)
    before, open_to_them = rows(), {"auth.cancel_deletion", "auth.logout", "auth.secure_account"} | WITHOUT_SESSION
    open_to_them |= {"main.appearance", "main.language"}
    for method in ("GET", "HEAD", "OPTIONS"):
        for endpoint, address in addresses(app, method):
            with client.open(address, method=method) as answer:
                assert (answer.location == "/auth/cancel-deletion") is (endpoint not in open_to_them), endpoint
    for endpoint, address in addresses(app, "POST"):
        if endpoint not in open_to_them:
            assert client.post(address, data={"email": "ada@example.com"}).location == "/auth/cancel-deletion", endpoint
            assert client.post(address, headers=JSON).status_code == 403, endpoint
    assert client.get("/nowhere").status_code == 404
    assert rows() == before

    assert "Log out?" in client.get("/auth/logout").text
    assert client.post("/auth/logout").location == "/"
    assert "Welcome to Flasky" in client.get("/").text
    assert leaving.deletion_due_at, "logging out cancels nothing"


def test_cancelled_deletion_leaves_the_account_as_it_was(client, another_client, ada, outbox, clock):
    kept = select(*(column for column in User.__table__.columns if column.name != "login_count"))
    before = db.session.execute(kept).all()
    client.log_in(ada)
    ask(client)
    clock.move(days=13, hours=23)
    client.log_in(ada)
    told = len(outbox())
    client.get("/account")
    assert client.post("/auth/cancel-deletion").location == "/account"
    assert notes(client.get("/account")) == ["Your account won't be deleted."]
    for again in (client.get("/auth/cancel-deletion"), client.post("/auth/cancel-deletion")):
        assert again.location == "/", "no deletion is pending"
    assert db.session.execute(kept).all() == before
    [email] = outbox()[told:]
    assert (email.subject, email.recipients) == ("Your Flasky account won't be deleted", ["ada@example.com"])
    assert outbox.link().startswith("/auth/secure-account/")
    assert history()[-1] == "deletion_cancelled"

    clock.move(days=30)
    assert purge() == 0
    another_client.log_in(ada)
    assert another_client.get("/account").status_code == 200
    assert another_client.get("/auth/cancel-deletion").location == "/"


def test_unconfirmed_user_can_request_and_cancel_deletion_and_gets_no_email(client, bob, outbox):
    client.log_in(bob)
    assert ask(client, "bob@example.com").location == "/"
    client.log_in(bob)
    assert client.get("/account").location == "/auth/cancel-deletion"
    client.post("/auth/cancel-deletion")
    assert (client.get("/account").location, bob.deletion_due_at) == ("/auth/unconfirmed", None)
    assert outbox() == []


def test_deletion_after_14_days_removes_all_data_of_the_user_and_nothing_else(app, outbox, clock):
    client = live(app, outbox, "lovelace")
    live(app, outbox, "babbage")
    outbox()
    gone, me = User.find("lovelace").id, ("lovelace@example.com", "lovelace@example.net", "lovelace")
    users = [c for table in db.metadata.sorted_tables for c in table.columns if c.references(User.__table__.c.id)]
    assert len(users) >= 6

    def others():
        return {
            column.table.name: db.session.execute(select(column.table).where(column != gone)).all()
            for column in [*users, User.__table__.c.id]
        }

    ask(client, "lovelace@example.com")
    app.test_client().post("/auth/reset", data={"email": "Lovelace@example.com"})  # an email in the outbox
    clock.move(days=14, microseconds=-1)
    assert purge() == 0
    assert set(held("lovelace@example.com")) >= {"users", "outbox", "email_changes", "audit_events"}
    before, outbox[:] = others(), []

    clock.move(microseconds=1)
    assert purge() == 1
    assert held("lovelace@example.com") == ["outbox"], "until the email is sent"
    assert [(email.subject, email.recipients) for email in outbox()] == [
        ("Your Flasky account was deleted", ["lovelace@example.com"])
    ]
    assert "This is the last email about your account." in outbox[0].body
    assert [held(word) for word in me if word != "lovelace@example.net"] == [[], []]
    assert [db.session.scalar(select(func.count()).where(column == gone)) for column in users] == [0] * len(users)
    assert others() == before
    nobodys = db.session.scalars(select(AuditEvent).where(AuditEvent.user_id.is_(None)).order_by(AuditEvent.id)).all()
    assert [line.action for line in nobodys].count("account_deleted") == 1
    assert (nobodys[-1].action, nobodys[-1].detail, nobodys[-1].ip) == ("account_deleted", {}, "")
    assert outbox() == outbox[:1]


def test_deleted_user_is_logged_out_at_the_next_request(app, client, another_client, leaving, clock):
    clock.move(days=14, hours=-1)
    for browser in (client, another_client):
        browser.log_in(leaving)
        assert browser.get("/account").location == "/auth/cancel-deletion"
    clock.move(hours=1)
    assert purge() == 1
    assert client.post("/auth/cancel-deletion").location.startswith("/auth/login")
    for _, address in addresses(app, "GET"):
        with another_client.get(address) as answer:
            assert answer.status_code < 500, address
    assert "Welcome to Flasky" in another_client.get("/").text
    assert client.post("/auth/login", data={"login": "ada", "password": PASSWORD}).status_code == 422


@pytest.fixture
def delete_while_hashing(app, ada, monkeypatch):
    """Let Ada's account be deleted while the next password is hashed, which can wait for seconds."""
    verify = hashing._verify

    def delete(*given):
        with app.app_context():
            if user := User.find("ada"):
                account_deletion.purge(user, send_notice=False)
                db.session.commit()
        return verify(*given)

    return lambda: monkeypatch.setattr(hashing, "_verify", delete)


def test_login_to_an_account_deleted_meanwhile_is_answered_as_one_to_an_unknown_account(client, delete_while_hashing):
    delete_while_hashing()
    answers = [client.post("/auth/login", data={"login": "ada", "password": "wrong"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert without_tokens(answers[0]) == without_tokens(answers[1])
    failed = select(AuditEvent.user_id, AuditEvent.count).where(AuditEvent.action == "login_failed")
    assert [tuple(row) for row in db.session.execute(failed)] == [(None, 1), (None, 1)]


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/auth/reauthenticate", {"password": "wrong"}),
        ("/auth/reauthenticate", {"password": PASSWORD, "factor_code": "000000"}),
        ("/auth/reauthenticate", {"password": PASSWORD, "factor_code": "AAAAA-AAAAA"}),
        ("/auth/change-password", {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}),
        ("/auth/change-email", {"email": "eve@example.com", "password": PASSWORD}),
        ("/auth/change-email", {"email": "eve@example.com", "password": "wrong"}),
    ],
)
def test_form_of_an_account_deleted_meanwhile_gets_a_page_that_says_so(
    client, ada, clock, delete_while_hashing, address, form
):
    client.log_in(ada)
    if "factor_code" in form:
        set_up(client, clock)
    delete_while_hashing()
    page = client.post(address, data=form)
    assert (page.status_code, "Something changed in the meantime" in page.text) == (409, True)
    assert client.get("/account").location.startswith("/auth/login")


def test_links_emailed_to_a_deleted_account_are_invalid(client, ada, outbox, clock):
    client.post("/auth/magic-link", data={"email": "ada@example.com"})
    client.post("/auth/reset", data={"email": "ada@example.com"})
    links = [outbox.link(number) for number in (0, 1)]
    ada.deletion_due_at = clock.time
    db.session.commit()
    purge()
    for link in links:
        assert client.get(link).status_code == client.post(link).status_code == 410
    assert client.post("/auth/magic-link/sent", data={"code": "1234 5678"}).status_code in {302, 422}


@pytest.mark.parametrize("settings", [{"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": 1}])
def test_undeliverable_deletion_email_is_retried_and_then_removed(app, ada, clock):
    ada.deletion_due_at = clock.time
    db.session.commit()
    purge()
    app.extensions["mail"].suppress = False  # no server listens on port 1
    for _ in range(7):
        delivery.deliver()
        assert db.session.scalar(select(OutboxEmail.status)) == "waiting"
        clock.move(days=1)
    delivery.deliver()
    assert held("ada@example.com") == []


def test_deletion_keeps_data_of_a_previous_user_of_the_email_address(client, another_client, ada, outbox, clock):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "lovelace@example.com", "password": PASSWORD})
    link = next(email.body for email in outbox() if "lovelace@example.com" in email.recipients)
    client.get(re.search(r"http://localhost(/auth/change-email/\S+)", link)[1])
    clock.move(days=8)
    form = {"email": "ada@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
    another_client.post("/auth/register", data=form)
    eve, number = User.find("eve"), ada.id
    theirs = personal_data.everything(eve)
    assert "lovelace" not in str(theirs)
    assert len(theirs["outbox"]) == 1
    account_deletion.purge(eve, send_notice=False)
    db.session.commit()
    assert db.session.scalar(select(func.count()).where(OutboxEmail.user_id == number)) > 1


def test_deactivated_account_is_not_purged(app, ada, clock):
    ada.deletion_due_at = ada.deactivated_at = clock.time
    db.session.commit()
    assert purge() == 0
