"""Leaving: asked for, taken back within 14 days, or gone for good."""

import contextvars
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from support.clients import JSON, PASSWORD
from support.lives import live
from support.pages import notes
from support.passwords import NEW
from support.records import history, rows
from support.routes import addresses

from app.accounts import account_deletion, cleanup, personal_data
from app.auth.account_state import WITHOUT_SESSION
from app.email import delivery
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User, UserSession


def ask(client, email="ada@example.com", **request):
    """Ask for the account to be deleted."""
    return client.post("/auth/delete", data={"email": email}, **request)


def purge():
    """Delete the accounts whose 14 days are over, and return how many there were."""
    outcome = cleanup.run("deleted_accounts", even_if_done=True)
    return outcome and outcome.count


def held(word):
    """The tables that hold a word somewhere, whatever its case."""
    return [name for name, found in rows().items() if word.casefold() in str(found).casefold()]


@pytest.fixture
def leaving(client, ada, outbox, clock):
    """Ada, who has asked for it, and is in no browser."""
    client.log_in(ada)
    ask(client)
    outbox()
    return ada


# Asking for it


@pytest.mark.parametrize("typed", ["ada@example.com", " ADA@Example.COM "])
def test_who_asks_is_out_of_every_browser_and_gets_an_email_that_names_the_day(
    client, another_client, ada, outbox, clock, typed
):
    for browser in (client, another_client):
        browser.log_in(ada, remember_me="y")
    assert "in 14 days" in client.get("/auth/delete").text
    waiting = len(outbox())
    answer = ask(client, typed)
    assert answer.location == "/"
    day = f"{clock.time + timedelta(days=14):%-d %B %Y}"
    assert notes(client.get("/")) == [f"Your account will be deleted on {day}. Log in before that day to keep it."]
    assert notes(client.get("/account", follow_redirects=True)) == ["Log in to open this page."]
    elsewhere = another_client.get("/account", follow_redirects=True)
    assert elsewhere.request.path == "/auth/login"
    assert notes(elsewhere) == ["You were logged out because the account will be deleted."]
    assert not db.session.scalars(select(UserSession).where(*UserSession.active())).all()

    [email] = outbox()[waiting:]
    assert (email.subject, email.recipients) == ("Your account at Flasky will be deleted", ["ada@example.com"])
    assert f"will be deleted on {day}," in email.body
    assert "IP address: 127.0.0.1" in email.body
    assert outbox.link() == "/auth/login"
    assert history()[-1] == "deletion_requested"


@pytest.mark.parametrize("typed", ["", "ada", "bob@example.com", "ada@example.org"])
def test_another_address_deletes_nothing_and_stays_in_its_field(client, ada, bob, typed):
    client.log_in(ada)
    before = rows()
    page = ask(client, typed)
    assert page.status_code == 422
    assert "is-invalid" in page.text
    assert f'value="{typed}"' in page.text
    assert rows() == before
    refused = ask(client, typed, headers=JSON)
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["email"])


def test_who_proved_long_ago_who_they_are_proves_it_again_first(client, another_client, ada, clock):
    client.log_in(ada)
    clock.move(minutes=15)
    page = ask(client)
    assert (page.status_code, ada.deletion_due_at) == (403, None)
    assert 'name="held-email" value="ada@example.com"' in page.text
    assert ask(another_client).location.startswith("/auth/login")


# The 14 days


def test_its_address_and_name_stay_taken(client, another_client, leaving, bob, clock):
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


def by_password(client, outbox):
    return client.post("/auth/login?next=/account", data={"login": "ada", "password": PASSWORD})


def by_link(client, outbox):
    client.post("/auth/magic-link", data={"email": "ada@example.com"})
    return client.get(outbox.link())


def by_code(client, outbox):
    client.post("/auth/magic-link", data={"email": "ada@example.com"})
    code = re.search(r"^\w{4} \w{4}$", outbox()[-1].body, re.MULTILINE)[0]
    return client.post("/auth/magic-link/sent", data={"code": code})


def after_a_reset(client, outbox):
    client.post("/auth/reset", data={"email": "ada@example.com"})
    client.post(outbox.link(), data={"password": NEW, "confirm_password": NEW})
    return client.post("/auth/login", data={"login": "ada", "password": NEW})


@pytest.mark.parametrize("way", [by_password, by_link, by_code, after_a_reset])
def test_every_way_in_leads_to_the_question_first_and_then_on(client, leaving, outbox, way):
    arrived_at = way(client, outbox).location
    page = client.get(arrived_at, follow_redirects=True)
    assert page.request.path == "/auth/cancel-deletion"
    assert f"<strong>{leaving.deletion_due_at:%-d %B %Y}</strong>" in page.text
    assert client.post("/auth/cancel-deletion").location == arrived_at
    assert client.get("/account").status_code == 200


def test_no_other_page_answers_and_looking_changes_nothing(app, client, leaving):
    client.log_in(leaving)
    before, open_to_them = rows(), {"auth.cancel_deletion", "auth.logout", "auth.secure_account"} | WITHOUT_SESSION
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
    assert "Hello, stranger." in client.get("/").text
    assert leaving.deletion_due_at, "who logs out lets it go"


def test_the_button_keeps_the_account_as_it_was(client, another_client, ada, outbox, clock):
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
        assert again.location == "/", "there is nothing to keep"
    assert db.session.execute(kept).all() == before
    [email] = outbox()[told:]
    assert (email.subject, email.recipients) == ("Your account at Flasky stays", ["ada@example.com"])
    assert outbox.link().startswith("/auth/secure-account/")
    assert history()[-1] == "deletion_cancelled"

    clock.move(days=30)
    assert purge() == 0
    another_client.log_in(ada)
    assert another_client.get("/account").status_code == 200
    assert another_client.get("/auth/cancel-deletion").location == "/"


def test_who_never_confirmed_can_leave_and_stay_too(client, bob, outbox):
    client.log_in(bob)
    assert ask(client, "bob@example.com").location == "/"
    client.log_in(bob)
    assert client.get("/account").location == "/auth/cancel-deletion"
    client.post("/auth/cancel-deletion")
    assert (client.get("/account").location, bob.deletion_due_at) == ("/auth/unconfirmed", None)


# Gone


def test_after_14_days_nothing_is_left_of_a_person_and_all_of_the_others(app, outbox, clock):
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
    app.test_client().post("/auth/reset", data={"email": "Lovelace@example.com"})  # an email that waits
    clock.move(days=14, microseconds=-1)
    assert purge() == 0
    assert set(held("lovelace@example.com")) >= {"users", "outbox", "email_changes", "audit_events"}
    before, outbox[:] = others(), []

    clock.move(microseconds=1)
    assert purge() == 1
    assert held("lovelace@example.com") == ["outbox"], "until the email has gone"
    assert [(email.subject, email.recipients) for email in outbox()] == [
        ("Your account at Flasky is deleted", ["lovelace@example.com"])
    ]
    assert "This was the last email." in outbox[0].body
    assert [held(word) for word in me if word != "lovelace@example.net"] == [[], []]
    assert [db.session.scalar(select(func.count()).where(column == gone)) for column in users] == [0] * len(users)
    assert others() == before
    nobodys = db.session.scalars(select(AuditEvent).where(AuditEvent.user_id.is_(None)).order_by(AuditEvent.id)).all()
    assert [line.action for line in nobodys].count("account_deleted") == 1
    assert (nobodys[-1].action, nobodys[-1].detail, nobodys[-1].ip) == ("account_deleted", {}, "")
    assert outbox() == outbox[:1]


def test_who_is_logged_in_is_out_at_the_next_request(app, client, another_client, leaving, clock):
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
    assert "Hello, stranger." in another_client.get("/").text
    assert client.post("/auth/login", data={"login": "ada", "password": PASSWORD}).status_code == 422


def test_links_in_emails_of_an_account_that_is_gone_are_dead(client, ada, outbox, clock):
    client.post("/auth/magic-link", data={"email": "ada@example.com"})
    client.post("/auth/reset", data={"email": "ada@example.com"})
    links = [outbox.link(number) for number in (0, 1)]
    ada.deletion_due_at = clock.time
    db.session.commit()
    purge()
    for link in links:
        assert client.get(link).status_code == client.post(link).status_code == 410
    assert client.post("/auth/magic-link/sent", data={"code": "1234 5678"}).status_code in {302, 422}


def test_many_purges_at_once_send_notice_once(app, ada, bob, outbox, clock):
    bob.confirmed = True
    for person in (ada, bob):
        person.deletion_due_at = clock.time
    db.session.commit()

    def purge_too(_):
        with app.app_context():
            purge()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: contextvars.Context().run(purge_too, number), range(4)))
    assert sorted(email.recipients[0] for email in outbox()) == ["ada@example.com", "bob@example.com"]
    assert history().count("account_deleted") == 2
    assert db.session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize("settings", [{"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": 1}])
def test_a_deletion_email_that_can_not_be_posted_waits_and_leaves_nothing_when_it_is_given_up(app, ada, clock):
    ada.deletion_due_at = clock.time
    db.session.commit()
    purge()
    app.extensions["mail"].suppress = False  # nobody listens there
    for _ in range(7):
        delivery.deliver()
        assert db.session.scalar(select(OutboxEmail.status)) == "waiting"
        clock.move(days=1)
    delivery.deliver()
    assert held("ada@example.com") == []


def test_who_keeps_the_account_while_it_is_purged_keeps_it(app, ada, clock, monkeypatch):
    ada.deletion_due_at = clock.time
    db.session.commit()
    delete = account_deletion.purge

    def kept_and_then_purged(user, *conditions, **how):
        with db.engine.begin() as connection:
            connection.execute(update(User.__table__).values(deletion_due_at=None))
        return delete(user, *conditions, **how)

    monkeypatch.setattr(account_deletion, "purge", kept_and_then_purged)
    assert purge() == 0
    assert User.find("ada")


def test_what_belongs_to_whoever_had_the_address_before_is_not_taken_along(client, another_client, ada, outbox, clock):
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


def test_what_is_frozen_is_not_purged(app, ada, clock):
    ada.deletion_due_at = ada.deactivated_at = clock.time
    db.session.commit()
    assert purge() == 0


def test_the_unconfirmed_get_no_emails_by_leaving_and_staying(client, bob, outbox):
    client.log_in(bob)
    ask(client, "bob@example.com")
    client.log_in(bob)
    client.post("/auth/cancel-deletion")
    assert outbox() == []


def test_notices_use_up_no_email_that_lets_the_owner_in(app, ada, outbox):
    for _ in range(12):
        app.test_client().log_in(ada)
    assert [email.subject for email in outbox()] == ["A new browser is logged in to your account"] * 3
    app.test_client().post("/auth/reset", data={"email": "ada@example.com"})
    assert "/auth/reset/" in outbox()[-1].body


def test_an_account_that_can_not_be_purged_holds_up_no_other(app, ada, bob, clock, monkeypatch, caplog):
    for person in (ada, bob):
        person.confirmed, person.deletion_due_at = True, clock.time
    db.session.commit()
    erase, number = personal_data.erase, ada.id
    monkeypatch.setattr(personal_data, "erase", lambda user: 1 / 0 if user.id == number else erase(user))
    assert purge() == 1
    assert (User.find("ada") is None, User.find("bob") is None) == (False, True)
    assert f"Account {number} can't be deleted" in caplog.text
