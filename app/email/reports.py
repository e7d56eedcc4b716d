"""What administrators ask about the outbox: which emails there are, and how well each domain takes them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from app import clock
from app.email.labels import LABELS
from app.email.templates import EmailTemplate
from app.extensions import db
from app.models import OutboxEmail
from app.models.logins import email_key
from app.models.outbox_email import Status

WEEK = timedelta(days=7)
MAX_DOMAINS = 20


def templates() -> dict[str, str]:
    """Return all templates, an application's own too, in words by their names."""
    names = sorted(template.value for kind in EmailTemplate.__subclasses__() for template in kind)
    return {name: label(name) for name in names}


def label(name: str) -> str:
    """Return the name of a template in the reader's language; of an application's own one, in English."""
    return str(LABELS.get(name) or name.replace("_", " ").capitalize())


def search(state: str = "", template: str = "", recipient: str = "") -> Select[Any]:
    """Return the query of emails.

    Args:
        recipient: an email address, or the @ and a domain.

    Raises:
        ValueError: the recipient is neither.
    """
    exact = ((OutboxEmail.status, state), (OutboxEmail.name, template))
    found = select(OutboxEmail).where(*(column == value for column, value in exact if value))
    if recipient.startswith("@"):
        return found.where(_domain() == email_key(f"x{recipient}").removeprefix("x@"))
    return found.where(OutboxEmail.recipient_key == email_key(recipient)) if recipient else found


def by_domain() -> Sequence[Any]:
    """Return the receiving domains of the last seven days with most emails: their `domain`, `sent` and `failed`."""
    domain = _domain()
    outcomes = [Status.SENT, Status.COMPLAINED], [Status.FAILED, Status.BOUNCED]
    ended = (OutboxEmail.done_at > clock.now() - WEEK, OutboxEmail.status.in_([*outcomes[0], *outcomes[1]]))
    sent, failed = (func.sum(case((OutboxEmail.status.in_(states), 1), else_=0)) for states in outcomes)
    counts = select(domain.label("domain"), sent.label("sent"), failed.label("failed")).where(*ended)
    return db.session.execute(counts.group_by(domain).order_by(func.count().desc(), domain).limit(MAX_DOMAINS)).all()


def _domain() -> ColumnElement[str]:
    """Return the receiving domain of an email, in the words of either database."""
    key = OutboxEmail.recipient_key
    is_sqlite = db.engine.dialect.name == "sqlite"
    return func.substr(key, func.instr(key, "@") + 1) if is_sqlite else func.split_part(key, "@", 2)
