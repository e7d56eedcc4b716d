"""PREVENT_ENUMERATION: registering or changing the address does not reveal who has an account."""

import re
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, without_tokens
from support.concurrency import at_once
from support.records import count, history
from support.registration import FORM, lose_the_username

import app as application
from app.extensions import db
from app.models import EmailChange, User, UserSession, user

pytestmark = pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])

PLANTED = "a stranger was here before"


def accounts(*names):
    """Return the rows of these users, their sessions and their email changes, to compare."""
    theirs = select(User.id).where(User.username.in_(names))
    tables = {User: User.id, UserSession: UserSession.user_id, EmailChange: EmailChange.user_id}
    return [db.session.execute(select(model.__table__).where(who.in_(theirs))).all() for model, who in tables.items()]


def owners(email):
    """Return the usernames of the accounts with an address."""
    return db.session.scalars(select(User.username).where(User.email_key == email)).all()


def log_in(client, login, password=PASSWORD):
    return client.post("/auth/login", data={"login": login, "password": password})


def reset(client, outbox, email, password):
    """Choose a new password by a reset link."""
    client.post("/auth/reset", data={"email": email})
    link = outbox.link()
    return client.post(link, data={"password": password, "confirm_password": password})


def test_only_the_enumeration_policy_reads_the_setting(settings):
    sources = [*Path(application.__file__).parent.rglob("*.py"), *Path(application.__file__).parent.rglob("*.html")]
    reading = re.compile(r"""(?:\[["']|\(["']|config\.)PREVENT_ENUMERATION""")
    found = [path.name for path in sources for _ in reading.findall(path.read_text("utf-8"))]
    assert found == ["enumeration.py"]


def test_concealed_registration_logs_nobody_in_and_is_confirmed_with_the_password(client, another_client, outbox):
    page = client.post("/auth/register", data=FORM, follow_redirects=True)
    assert page.request.path == "/auth/email-sent"
    assert "We sent an email to <strong><bdi>eve@example.com</bdi></strong>" in page.text
    assert client.get("/account").location.startswith("/auth/login"), "nobody is logged in"
    assert count(UserSession) == 0

    [message] = outbox()
    assert (message.subject, message.recipients) == ("Confirm your email address for Flasky", ["eve@example.com"])
    assert not re.search(r"\d{4} \d{4}|\bcode\b", outbox[0].body), "there is no page to type a code into"
    page = another_client.get(outbox.link())
    assert "Enter the password you chose when you created your account" in page.text
    wrong = another_client.post(outbox.link(), data={"password": "wrong"})
    assert wrong.status_code == 422
    assert "This is not the password you chose when you created your account." in wrong.text
    assert not db.session.scalar(select(User.confirmed))

    right = another_client.post(outbox.link(), data={"password": PASSWORD}, follow_redirects=True)
    assert right.request.path == "/"
    assert "Your email address is confirmed. Welcome." in right.text
    assert "Hello, <bdi>eve</bdi>!" in right.text
    assert db.session.scalar(select(User.confirmed))
    assert "Welcome to Flasky" in client.get("/").text, "the browser that registered is still out"
    assert log_in(client, "eve").location == "/"
    assert history() == ["registered", "login_failed", "confirmed", "logged_in", "logged_in", "new_device"]


def test_opening_a_concealed_confirm_link_changes_nothing(client, outbox):
    client.post("/auth/register", data=FORM)
    link, before = outbox.link(), accounts("eve")
    assert client.get(link).status_code == client.head(link).status_code == 200
    assert client.get(f"{link}?password={PASSWORD}").status_code == 200
    assert client.post(link, data={"password": ""}).status_code == 422
    assert accounts("eve") == before


def test_concealed_confirm_link_works_once(client, another_client, outbox):
    client.post("/auth/register", data=FORM)
    link = outbox.link()
    assert client.post(link, data={"password": PASSWORD}).location == "/"
    assert "Your email address is already confirmed" in client.get(link, follow_redirects=True).text
    assert another_client.get(link).status_code == 410
    assert another_client.post(link, data={"password": PASSWORD}).status_code == 410
    assert count(UserSession) == 1


def test_concealed_confirm_link_does_not_work_for_another_user(client, another_client, ada, outbox):
    client.post("/auth/register", data=FORM)
    another_client.log_in(ada)
    assert another_client.get(outbox.link()).status_code == 410
    assert another_client.post(outbox.link(), data={"password": PASSWORD}).status_code == 410
    assert not db.session.scalar(select(User.confirmed).where(User.username == "eve"))


@pytest.mark.parametrize("name", ["ada", "bob"])
@pytest.mark.parametrize("spelling", ["{}@example.com", "{}@EXAMPLE.com"])
def test_registering_a_known_address_notifies_its_owner_and_changes_nothing(client, ada, bob, outbox, name, spelling):
    before = accounts(name)
    email = spelling.format(name)
    page = client.post("/auth/register", data=FORM | {"email": email, "password": PLANTED, "confirm_password": PLANTED})
    assert page.location == "/auth/email-sent"
    assert accounts(name) == before
    [message] = outbox()
    assert message.recipients == [f"{name}@example.com"]
    assert message.subject == "You already have a Flasky account"
    assert "http://localhost/auth/login\n" in message.body
    assert "http://localhost/auth/reset/" in message.body
    assert "eve" not in re.sub(r"http\S+", "", message.body)
    assert log_in(client, name, PLANTED).status_code == 422


def test_reset_confirms_a_concealed_registration(client, outbox):
    client.post("/auth/register", data=FORM)
    client.post("/auth/register", data=FORM | {"username": "eve2"})
    assert "already" in outbox()[-1].subject
    answer = reset(client, outbox, "eve@example.com", "another lantern")
    page = client.get(answer.location)
    assert "Your email address is confirmed. If you didn&#39;t choose the username eve, change it." in page.text
    assert log_in(client, "eve@example.com", "another lantern").location == "/"
    assert db.session.scalars(select(User.username).where(User.confirmed)).all() == ["eve"]


def test_registering_a_reserved_address_notifies_its_former_owner(client, another_client, ada, outbox):
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "new@example.com", "password": PASSWORD})
    client.get(outbox.link(0))
    before = accounts("ada")
    page = another_client.post("/auth/register", data=FORM | {"email": "ada@example.com"}, follow_redirects=True)
    assert "We sent an email to <strong><bdi>ada@example.com</bdi></strong>" in page.text
    assert accounts("ada") == before
    notice = outbox()[-1]
    assert (notice.subject, notice.recipients) == ("You already have a Flasky account", ["ada@example.com"])


@pytest.mark.parametrize("email", ["eve@example.com", "ada@example.com"])
def test_concealed_registration_still_says_that_a_username_is_taken(client, ada, outbox, email):
    page = client.post("/auth/register", data=FORM | {"email": email, "username": "ADA"})
    assert page.status_code == 422
    assert "This username is already taken." in page.text
    assert "This address is already registered" not in page.text
    assert outbox() == []


def test_concealed_registration_says_that_a_username_was_registered_in_the_meantime(
    client, another_client, outbox, monkeypatch
):
    lose_the_username(client, another_client, monkeypatch)
    assert [message.recipients for message in outbox()] == [["other@example.com"]]


def test_ten_concealed_registrations_of_one_address_at_once_get_the_same_response(app, outbox, monkeypatch):
    """All have validated their forms before one of them inserts a row."""
    start, waiting, hash_password = threading.Barrier(10), iter(range(10)), user.hash_password

    def hash_and_wait(password):
        if next(waiting, None) is not None:  # a second attempt does not wait
            start.wait(120)
        return hash_password(password)

    def register(number):
        form = FORM | {"email": f"{'eE'[number % 2]}ve@example.com", "username": f"eve{number}"}
        answer = app.test_client().post("/auth/register", data=form)
        return answer.status_code, answer.location

    monkeypatch.setattr(user, "hash_password", hash_and_wait)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert Counter(at_once(register, range(10))) == {(302, "/auth/email-sent"): 10}
    assert len(owners("eve@example.com")) == 1
    assert Counter(message.subject.split()[0] for message in outbox()) == {"Confirm": 1, "You": 9}


def register_as_victim(client):
    """An attacker registers the victim's address first, with a password of their own."""
    client.post("/auth/register", data=FORM | {"password": PLANTED, "confirm_password": PLANTED})


def test_password_planted_by_another_person_is_removed_by_the_owners_magic_link(client, another_client, outbox):
    register_as_victim(client)
    planted_link = outbox.link()
    another_client.post("/auth/magic-link", data={"email": "eve@example.com"})
    page = another_client.get(outbox.link(), follow_redirects=True)
    assert "What was set up before" in page.text
    assert "Your account has no password" in page.text
    assert log_in(client, "eve", PLANTED).status_code == 422
    assert client.post(planted_link, data={"password": PLANTED}).status_code == 410


def test_owner_who_opens_the_link_of_another_persons_registration_confirms_nothing(client, another_client, outbox):
    """Neither opening it, nor another password, nor a magic link on its way makes it confirm."""
    register_as_victim(client)
    link = outbox.link()
    another_client.get(link)
    another_client.post(link, data={"password": PASSWORD})
    another_client.post("/auth/magic-link", data={"email": "eve@example.com"})
    another_client.get(link)
    assert log_in(client, "eve", PLANTED).status_code == 422
    assert not db.session.scalar(select(User.confirmed))


def test_only_the_password_chosen_by_reset_works_after_a_second_registration(client, another_client, outbox):
    """An attacker registers the address, then its owner does."""
    register_as_victim(client)
    another_client.post("/auth/register", data=FORM | {"username": "eve2"})
    assert log_in(another_client, "eve@example.com").status_code == 422
    reset(another_client, outbox, "eve@example.com", "another lantern")
    for password in (PLANTED, PASSWORD):
        assert log_in(client, "eve@example.com", password).status_code == 422
    assert log_in(another_client, "eve@example.com", "another lantern").location == "/"


def test_unconfirmed_user_who_is_logged_in_can_confirm_but_not_correct(app, client, ada, bob, outbox):
    """The user logged in before the setting was turned on."""
    app.config["PREVENT_ENUMERATION"] = False
    client.log_in(bob)
    app.config["PREVENT_ENUMERATION"] = True
    bob.email = "bob@gmial.com"
    db.session.commit()
    before = accounts("bob")
    page = client.get("/auth/unconfirmed")
    assert not any(words in page.text for words in ("Did you mean", "Wrong address?", 'name="email"'))
    for email in ("eve@example.com", "ada@example.com"):
        refused = client.post("/auth/unconfirmed", data={"email": email})
        assert (refused.status_code, "error" in refused.text.lower()) == (200, False)
    assert accounts("bob") == before
    assert outbox() == []
    client.post("/auth/confirm")
    assert client.get(outbox.link()).location == "/"


def ask_for(client, email):
    return client.post("/auth/change-email", data={"email": email, "password": PASSWORD}, follow_redirects=True)


@pytest.mark.parametrize("owner", ["bob", "eve"])
def test_concealed_email_change_to_a_known_address_notifies_its_owner(
    client, another_client, ada, bob, outbox, clock, owner
):
    """The owner is notified, confirmed or not; so is the present address of the user who asks, as always."""
    another_client.post("/auth/register", data=FORM)
    if owner == "eve":
        another_client.post(outbox.link(), data={"password": PASSWORD})
    outbox().clear()
    client.log_in(ada)
    before = accounts("ada", "bob", "eve")
    page = ask_for(client, f"{owner}@example.com")
    assert page.request.path == "/auth/email-sent"
    assert f"We sent an email to <strong><bdi>{owner}@example.com</bdi></strong>" in page.text
    assert accounts("ada", "bob", "eve") == before
    told, notice = sorted(outbox(), key=lambda message: message.recipients, reverse=True)
    assert (told.subject, told.recipients) == ("You already have a Flasky account", [f"{owner}@example.com"])
    assert notice.subject == "Someone asked to change your Flasky email address"
    assert notice.recipients == ["ada@example.com"]
    links = re.findall(r"(?<=\n)https?://\S+", told.body) + re.findall(r'href="([^"]+)', told.html)
    pages = {"http://localhost/auth/login", "http://localhost/auth/reset/"}
    assert {re.sub(r"/eyJ.*", "/", link) for link in links} == pages

    free = ask_for(client, "new@example.com")
    assert without_tokens(page).replace(f"{owner}@", "…@") == without_tokens(free).replace("new@", "…@")
    bodies = [re.sub(r"/eyJ\S+", "/", message.body) for message in (notice, outbox()[-1])]
    assert bodies[0].replace(f"{owner} (at)", "…") == bodies[1].replace("new (at)", "…")


def test_concealed_email_change_to_a_free_address_works(client, ada, outbox):
    client.log_in(ada)
    ask_for(client, "new@example.com")
    assert client.get(outbox.link(0)).location == "/account"
    assert owners("new@example.com") == ["ada"]


def test_concealed_email_change_to_an_address_registered_in_the_meantime_fails(client, another_client, ada, outbox):
    client.log_in(ada)
    ask_for(client, "eve@example.com")
    link = outbox.link(0)
    another_client.post("/auth/register", data=FORM)
    assert client.get(link).status_code == 410
    assert owners("ada@example.com") + owners("eve@example.com") == ["ada", "eve"]


def test_concealed_email_changes_send_an_owner_ten_emails_an_hour_at_most(client, ada, bob, outbox):
    client.log_in(ada)
    for _ in range(15):
        ask_for(client, "bob@example.com")
    assert [message.recipients for message in outbox()].count(["bob@example.com"]) == 10
