"""What only administrators change in an account: the user is told, sees who did it, and not where from."""

import pytest
from sqlalchemy import select
from support.clients import on_sqlite

from app.accounts import administration
from app.extensions import db
from app.models import Actor, AuditAction, AuditEvent, EmailChange, Role, UserSession
from app.security import audit

CHANGES = {
    "was deactivated": lambda user: administration.deactivate(user),
    "was reactivated": lambda user: (administration.deactivate(user), administration.activate(user)),
    "was logged out everywhere": lambda user: administration.log_out_everywhere(user),
    "has a new role": lambda user: administration.set_role(user, db.session.get(Role, "moderator")),
    "has a new username": lambda user: administration.rename(user, "Lovelace"),
    "now has this email address": lambda user: administration.set_email(user, "lovelace@example.com"),
}


@on_sqlite
@pytest.mark.parametrize("subject", CHANGES)
def test_the_user_is_told_who_did_what_but_not_where_the_administrator_is(app, client, ada, bob, outbox, subject):
    client.log_in(ada)
    outbox.clear()
    headers = {"User-Agent": "the administrator's"}
    with app.test_request_context(environ_base={"REMOTE_ADDR": "203.0.113.9"}, headers=headers):
        with audit.acting_as(Actor.ADMINISTRATOR, bob):
            CHANGES[subject](ada)
        db.session.commit()
    email = outbox()[-1]
    assert (email.subject, email.recipients) == (f"Your Flasky account {subject}", [ada.email])
    assert "By: an administrator of Flasky\n" in email.body
    assert not [sent for sent in outbox() if "203.0.113.9" in sent.body or "IP address" in sent.body]
    event = db.session.scalar(select(AuditEvent).order_by(AuditEvent.id.desc()))
    assert (event.actor, event.detail["acting_user"]) == (Actor.ADMINISTRATOR, bob.id)
    assert (event.ip, event.user_agent) == ("", "")


@on_sqlite
def test_nobody_is_told_at_an_address_that_may_belong_to_another_person(bob, outbox):
    administration.deactivate(bob)
    administration.rename(bob, "robert")
    db.session.commit()
    assert outbox() == []


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("ADA", "Another account has this username."),
        ("a b", "Use at most 64 characters"),
        ("", "Use at most 64 characters"),
        ("\0", "Use at most 64 characters"),
    ],
)
def test_a_username_that_is_taken_or_invalid_is_refused(ada, bob, username, message):
    with pytest.raises(ValueError, match=message):
        administration.rename(bob, username)
    administration.rename(bob, " Admin ")
    db.session.commit()
    assert (bob.username, ada.username) == ("Admin", "ada"), "an administrator may give a reserved one"


def test_a_new_address_is_told_and_the_old_one_gets_a_way_back(client, ada, outbox):
    client.log_in(ada)
    outbox.clear()
    administration.set_email(ada, " Lovelace@Example.com ")
    db.session.commit()
    assert (ada.email, ada.confirmed) == ("Lovelace@example.com", True)
    assert [email.recipients for email in outbox()] == [["ada@example.com"], ["Lovelace@example.com"]]
    assert "This wasn't me" in outbox()[0].body
    assert "By: an administrator" in outbox()[0].body
    assert client.get("/account").status_code == 302
    assert db.session.scalars(select(UserSession.revoked_reason)).all() == ["email_changed"]
    assert db.session.scalar(select(EmailChange.old_email)) == "ada@example.com"


@pytest.mark.parametrize(
    ("email", "message"),
    [("ada@EXAMPLE.com", "Another account has"), ("x", "must have an @-sign"), ("\0@example.com", "valid email")],
)
def test_an_address_that_is_taken_or_invalid_is_refused(ada, bob, email, message):
    bob.confirmed = True
    with pytest.raises(ValueError, match=message):
        administration.set_email(bob, email)
    administration.set_email(ada, "lovelace@example.com")
    with pytest.raises(ValueError, match="had it within the last week"):
        administration.set_email(bob, "ada@example.com")


@on_sqlite
def test_an_unconfirmed_address_is_replaced_by_one_that_gets_a_link(bob, outbox):
    administration.set_email(bob, "robert@example.com")
    db.session.commit()
    assert [(email.recipients, email.subject) for email in outbox()] == [
        (["robert@example.com"], outbox()[0].subject),
    ]
    assert "onfirm" in outbox()[0].subject
    assert not bob.confirmed


@on_sqlite
def test_what_is_so_already_is_neither_recorded_nor_told(ada, outbox):
    administration.activate(ada)
    administration.set_role(ada, ada.role)
    administration.rename(ada, "ada")
    administration.set_email(ada, "ada@example.com")
    assert not db.session.scalars(select(AuditEvent).filter(AuditEvent.action != AuditAction.REGISTERED)).all()
    assert not db.session.new
