"""The login methods of a user without two-factor authentication; each returns the URL that it redirects to."""

from support.clients import PASSWORD
from support.emails import code_in
from support.passwords import NEW, choose

ADA = "ada@example.com"


def by_password(client, outbox, email=ADA, password=PASSWORD):
    return client.post("/auth/login", data={"login": email, "password": password}).location


def by_link(client, outbox, email=ADA):
    client.post("/auth/magic-link", data={"email": email})
    return client.get(outbox.link()).location


def by_code(client, outbox, email=ADA):
    client.post("/auth/magic-link", data={"email": email})
    return client.post("/auth/magic-link/sent", data={"code": code_in(outbox()[-1])}).location


def by_button(client, outbox, email=ADA):
    """Use a link that another browser requested."""
    client.application.test_client().post("/auth/magic-link", data={"email": email})
    return client.post(outbox.link()).location


def by_reset(client, outbox, email=ADA):
    client.post("/auth/reset", data={"email": email})
    choose(client, outbox.link())
    return by_password(client, outbox, email, NEW)
