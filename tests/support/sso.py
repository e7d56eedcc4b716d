"""A login with the provider "acme", which support/issuer.py serves."""

import html

from sqlalchemy import select

from app.extensions import db
from app.models import Identity

START, BACK = "/auth/sso/acme", "/auth/sso/acme/callback"
ADA = {"email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"}
NOT_BELIEVED = "Logging in with Acme didn't work. Try again, or log in another way."
NO_ANSWER = "Acme isn't responding. Try again in a minute, or log in another way."
NOT_YOURS = "This login took too long, or was started in another browser. Try again."


def set_out(client, path=START, **fields):
    """Press the provider's button; return the header that sends the browser to the provider."""
    page = client.post(path, data=fields)
    assert page.status_code == 200, page.location
    assert "<h1>Continue to " in page.text
    return page.headers["Refresh"]


def travel(client, issuer, path=START, fields=(), **claims):
    """Press the button, log in at the provider with these claims and come back; return the response."""
    return client.get(issuer.agree(set_out(client, path, **dict(fields)), **ADA | claims))


def told(client, answer):
    """Return the page that a response redirects to."""
    return html.unescape(client.get(answer.location, follow_redirects=True).text)


def link_by_hand(user, issuer, subject="ada"):
    """Link an identity to an account without its pages."""
    db.session.add(Identity(user_id=user.id, provider="acme", issuer=issuer.url, subject=subject))
    db.session.commit()


def whose():
    """Return the usernames of the accounts that have a linked identity."""
    return [identity.user.username for identity in db.session.scalars(select(Identity))]
