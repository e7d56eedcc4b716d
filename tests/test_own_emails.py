"""Emails of an application built on this one: their order in the outbox, their limits, and their headers."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from jinja2 import ChoiceLoader, DictLoader
from sqlalchemy import func, select

from app.email.outbox import enqueue
from app.email.templates import Email, EmailTemplate
from app.extensions import db
from app.models import AuditAction, OutboxEmail, User
from app.models.outbox_email import Status
from app.security import audit


class OwnEmail(EmailTemplate):
    NEWS = "news"
    RECEIPT = "receipt"
    KEY_ADDED = "key_added"
    INVITATION = "invitation", None, False, 2


@pytest.fixture(autouse=True)
def templates(app):
    names = [*OwnEmail]
    own = DictLoader({f"email/{name}.txt": f"Subject: {name}\n\nHello {{{{ unsubscribe }}}}" for name in names})
    app.jinja_env.loader = ChoiceLoader([own, app.jinja_env.loader])


UNSUBSCRIBE = "https://shop.example/unsubscribe/abc"


def test_no_number_of_newsletters_delays_an_email_about_an_account(ada, bob, outbox):
    for _ in range(1000):
        enqueue(OwnEmail.NEWS, ada, unsubscribe=UNSUBSCRIBE)
    enqueue(OwnEmail.RECEIPT, ada)
    enqueue(OwnEmail.KEY_ADDED, ada, event=audit.record(ada, AuditAction.PASSWORD_CHANGED))
    enqueue(Email.CONFIRM, bob)
    db.session.commit()
    order = []
    while len(order) < 5 and (email := OutboxEmail.claim()):
        order.append(email.name)
        email.done(Status.SENT)
        db.session.commit()
    assert order == ["key_added", "confirm", "receipt", "news", "news"]
    enqueue(Email.RESET, ada)
    db.session.commit()
    assert OutboxEmail.claim().name == "reset", "it overtakes those that wait already"
    waiting = select(func.count()).where(OutboxEmail.name == "news", OutboxEmail.status == Status.WAITING)
    assert db.session.scalar(waiting) == 998


def test_an_email_that_is_retried_later_delays_no_newsletter(ada, bob, clock):
    enqueue(Email.CONFIRM, bob)
    enqueue(OwnEmail.NEWS, ada, unsubscribe=UNSUBSCRIBE)
    db.session.commit()
    OutboxEmail.claim().retry_later("421 Try again later")
    db.session.commit()
    assert OutboxEmail.claim().name == "news"


def test_own_emails_can_be_answered_and_unsubscribed_from(ada, outbox):
    enqueue(OwnEmail.NEWS, ada, reply_to="shop@example.com", unsubscribe=UNSUBSCRIBE)
    enqueue(OwnEmail.RECEIPT, ada)
    enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    emails = {message.subject: message for message in outbox()}
    sent = emails["news"].as_string()
    for header in (
        "Reply-To: shop@example.com",
        f"List-Unsubscribe: <{UNSUBSCRIBE}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ):
        assert f"\r\n{header}\r\n" in sent
    assert UNSUBSCRIBE in emails["news"].body
    del emails["news"]
    assert not [message for message in emails.values() if "List-Unsubscribe" in message.as_string()]


@pytest.mark.parametrize(
    "details", [{"reply_to": "a@example.com\r\nBcc: b@example.com"}, {"unsubscribe": "http://x/\ny"}]
)
def test_a_header_with_a_control_character_is_not_sent(ada, outbox, details):
    enqueue(OwnEmail.NEWS, ada, **details)
    db.session.commit()
    assert not outbox()
    email = db.session.scalar(select(OutboxEmail).where(OutboxEmail.name == "news"))
    assert "control character" in email.error


def test_a_limit_counts_the_emails_to_one_address(outbox, clock):
    """Users who invite strangers can't flood them, and leave the budget of resets alone."""
    for _ in range(3):
        enqueue(OwnEmail.INVITATION, None, to="Eve@example.com")
        enqueue(OwnEmail.INVITATION, None, to="zoe@example.com")
    db.session.commit()
    assert (
        sorted(message.recipients[0].lower() for message in outbox())
        == ["eve@example.com"] * 2 + ["zoe@example.com"] * 2
    )
    clock.move(hours=1, seconds=1)
    enqueue(OwnEmail.INVITATION, None, to="eve@example.com")
    db.session.commit()
    assert len(outbox()) == 5
    assert not db.session.scalars(select(OutboxEmail).where(OutboxEmail.budget.is_not(None))).all()


@pytest.mark.parametrize("between", ["\n", "\r\n", "\r", "\x0b", "\u2028"])
def test_text_of_others_adds_no_button_no_paragraph_and_no_subject(app, ada, outbox, between):
    template = "Subject: About {{ unlinked(plant) }}\n\nIt is called {{ unlinked(plant) }}.\n\n--\nOur reason.\n"
    app.jinja_env.loader = ChoiceLoader([DictLoader({"email/receipt.txt": template}), app.jinja_env.loader])
    lines = [
        "a",
        "",
        "Your password has expired:",
        "https://evil.example/x",
        "",
        "--",
        "a reason",
        "",
        "Log in:",
        "http://e",
    ]
    enqueue(OwnEmail.RECEIPT, ada, plant=between.join(lines))
    db.session.commit()
    [email] = outbox()
    words = "a Your password has expired : https : / / evil (dot) example / x -- a reason Log in : http : / / e"
    assert email.subject == f"About {words}"
    assert email.body.split("\n\n")[0] == f"It is called {words}."
    assert email.body.split("\n\n")[1].startswith("-- \nOur reason.")
    assert "<a href" not in email.html.replace('<a href="mailto:', "")


def test_a_template_gets_times_dates_and_decimal_numbers_for_its_filters(app, ada, outbox):
    template = (
        "Subject: Receipt\n\nPaid on {{ at_all | day }} at {{ at_all | time_of_day }} until {{ until_day | day }}.\n\n"
        "{{ items[0].price | number }} and {{ items[1].price | number }} of {{ total + 1 }}, {{ empty }}."
    )
    app.jinja_env.loader = ChoiceLoader([DictLoader({"email/receipt.txt": template}), app.jinja_env.loader])
    ada.time_zone = "America/New_York"
    enqueue(
        OwnEmail.RECEIPT,
        ada,
        at_all=datetime(2031, 5, 4, 2, 30, tzinfo=UTC),
        until_day=date(2032, 5, 4),
        items=[{"price": Decimal("1234.50")}, {"price": 3}],
        total=Decimal("1237.50"),
        empty={},
    )
    db.session.commit()
    [email] = outbox()
    assert email.body.split("\n\n")[:2] == [
        "Paid on 3 May 2031 at 22:30 GMT-04:00 until 4 May 2032.",
        "1,234.5 and 3 of 1238.50, {}.",
    ]


@pytest.mark.parametrize("value", [b"a", {1}, datetime(2031, 5, 4), [User]], ids=["bytes", "set", "no zone", "class"])
def test_what_a_template_cannot_get_is_refused_at_once(ada, value):
    with pytest.raises(TypeError, match="Emails take"):
        enqueue(OwnEmail.RECEIPT, ada, value=value)
