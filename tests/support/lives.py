"""An account with everything that the application stores about a person."""

import pyotp

from app.extensions import db
from app.models import Actor, Identity, Invitation, OAuthState, User
from support.authenticators import SET_UP, codes_on, key_on
from support.clients import PASSWORD
from support.passkeys import MAKE, Key, add, asked


def live(app, outbox, name):
    """Have somebody do all that leaves traces; return the browser that they are logged in with.

    They registered as <name>-before with <name>@example.net, and are <name> with <name>@example.com now.
    """
    client, another, old, new = app.test_client(), app.test_client(), f"{name}@example.net", f"{name}@example.com"
    another.post("/auth/magic-link", data={"email": new})  # it has no account yet
    form = {"email": old, "username": f"{name}-before", "password": PASSWORD, "confirm_password": PASSWORD}
    client.post("/auth/register", data=form, headers={"User-Agent": f"{name}'s browser"})
    client.get(outbox.link())
    client.post("/auth/change-username", data={"username": name})
    client.post("/auth/change-email", data={"email": new, "password": PASSWORD})
    client.get(outbox.link(-2))
    another.post("/auth/login", data={"login": new, "password": "wrong"})
    another.post("/auth/magic-link", data={"email": new})
    another.get(outbox.link())
    secret = key_on(client.get(SET_UP))
    codes = codes_on(client.post(SET_UP, data={"code": pyotp.TOTP(secret).now()}))
    client.post("/auth/reauthenticate", data={"password": PASSWORD, "factor_code": codes[0]})
    add(client, Key())
    client.post("/auth/reauthenticate", data={"password": PASSWORD, "factor_code": codes[2]})
    client.post("/auth/two-factor/require-passkey")
    client.post("/auth/reauthenticate", data={"password": PASSWORD, "factor_code": codes[1]})
    asked(client, MAKE)  # and makes none
    client.post("/auth/recovery-codes")  # the others are kept for a while
    app.test_client().post("/auth/reset", data={"email": new})  # this email waits
    mine = Identity(user_id=User.find(name).id, provider="acme", issuer="i", subject=name, email=f"{name}@example.org")
    invitation = Invitation(email=new, actor=Actor.COMMAND_LINE, user_id=mine.user_id)
    db.session.add_all([mine, OAuthState.start("acme", mine.user_id), invitation])
    db.session.commit()
    assert (User.find(name).email, User.find(name).confirmed) == (new, True)
    return client
