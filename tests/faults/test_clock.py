"""The server's clock jumps: whatever expired stays expired, and no page shows a negative age."""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, without_tokens
from support.emails import code_in
from support.pages import beside, is_logged_in
from support.passwords import NEW, choose

from app.extensions import db
from app.models import User, UserSession
from app.security.token_purposes import TokenPurpose

back = pytest.mark.parametrize("jump", [{"days": -1}, {"minutes": -5}], ids=["a day", "five minutes"])

LINKS = {"reset": "/auth/reset", "magic link": "/auth/magic-link"}  # where they are asked for


def test_two_days_later_every_link_and_session_has_expired_with_a_message(app, client, another_client, ada, bob, clock):
    client.log_in(bob)
    another_client.log_in(ada)
    links = {"confirm": bob, "change-email": bob, "reset": ada, "magic-link": ada}
    paths = [
        f"/auth/{name}/{user.issue_token(TokenPurpose(name.replace('-', '_')), email='new@example.com')}"
        for name, user in links.items()
    ]
    clock.move(days=2)
    pages = [app.test_client().get(path) for path in paths]
    assert {page.status_code for page in pages} == {410}
    assert len({without_tokens(page) for page in pages}) == 1
    assert "because your session expired" in another_client.get("/account", follow_redirects=True).text


@back
@pytest.mark.parametrize("link", LINKS)
def test_clock_set_back_revives_no_used_link(app, client, ada, outbox, clock, jump, link):
    client.post(LINKS[link], data={"email": ada.email})
    used = outbox.link()
    answer = choose(client, used) if link == "reset" else client.get(used)
    assert answer.status_code == 302
    clock.move(**jump)
    another = app.test_client()
    assert another.get(used).status_code == 410
    assert (choose(another, used, "a third lantern") if link == "reset" else another.post(used)).status_code == 410
    clock.move(**{unit: -count for unit, count in jump.items()})
    assert another.get(used).status_code == 410


@back
def test_clock_set_back_extends_no_link_and_no_code(app, client, ada, outbox, clock, jump):
    """They come from the future: until the clock is there again they are refused, and then they are as old as ever."""
    client.post("/auth/magic-link", data={"email": ada.email})
    link, code = outbox.link(), code_in(outbox[0])
    clock.move(**jump)
    assert app.test_client().get(link).status_code == 410
    assert client.post("/auth/magic-link/sent", data={"code": code}).status_code == 422
    clock.move(**{unit: -count for unit, count in jump.items()})
    assert app.test_client().get(link).status_code == 200
    clock.move(seconds=TokenPurpose.MAGIC_LINK.lifetime)
    assert app.test_client().get(link).status_code == 410
    assert client.post("/auth/magic-link/sent", data={"code": code}).status_code == 422


@back
@pytest.mark.parametrize("how", ["logged out", "ended elsewhere", "another password"])
def test_clock_set_back_revives_no_session(app, client, another_client, ada, clock, jump, how):
    for browser in (client, another_client):
        browser.log_in(ada, remember_me="y")
    copied = app.test_client()
    copied.set_cookie("session", another_client.get_cookie("session").value)
    if how == "logged out":
        another_client.post("/auth/logout")
    elif how == "ended elsewhere":
        client.post("/auth/devices/revoke-others")
    else:
        client.post("/auth/change-password", data={"old_password": PASSWORD, "password": NEW, "confirm_password": NEW})
    for _ in range(2):
        clock.move(**jump)
        assert not is_logged_in(copied)
        assert not is_logged_in(another_client)
    assert is_logged_in(client)


@back
def test_clock_set_back_requires_reauthentication_again(client, ada, clock, jump):
    client.log_in(ada)
    assert client.get("/auth/delete").status_code == 200
    clock.move(seconds=-30)
    assert client.get("/auth/delete").status_code == 200, "another server's clock may be a little ahead"
    clock.move(**jump)
    assert client.get("/auth/delete").location == "/auth/reauthenticate"
    client.post("/auth/reauthenticate", data={"password": PASSWORD})
    assert client.get("/auth/delete").status_code == 200


@pytest.mark.parametrize("jump", [{"days": 2}, {"days": -1}, {"minutes": -5}])
def test_an_authenticator_with_a_wrong_clock_is_refused_with_a_hint(client, ada, phone, clock, jump):
    shown = phone.code()
    clock.move(**jump)
    client.log_in(ada)
    page = client.post("/auth/two-factor/verify", data={"code": shown})
    assert page.status_code == 422
    assert "check that your phone's clock is right" in beside("code", page)
    assert not is_logged_in(client)
    assert "clock" not in beside(
        "recovery_code", client.post("/auth/two-factor/verify", data={"recovery_code": "A" * 24})
    )
    client.post("/auth/two-factor/verify", data={"recovery_code": phone.codes[0]})
    assert is_logged_in(client)


@back
def test_clock_set_back_accepts_no_earlier_authenticator_code(app, client, ada, phone, clock, jump):
    client.log_in(ada)
    used = phone.code()
    assert client.post("/auth/two-factor/verify", data={"code": used}).status_code == 302
    clock.move(**jump)
    another = app.test_client()
    another.log_in(ada)
    for code in (used, phone.code()):
        assert another.post("/auth/two-factor/verify", data={"code": code}).status_code == 422
    assert not is_logged_in(another)
    clock.move(**{unit: -count for unit, count in jump.items()})
    clock.move(minutes=1)
    assert not is_logged_in(another)


def test_a_pending_login_from_the_future_is_void(client, ada, phone, clock):
    client.log_in(ada)
    clock.move(minutes=-5)
    assert client.get("/auth/two-factor/verify").location.startswith("/auth/login")


@back
def test_no_page_and_no_command_shows_a_negative_age(app, client, bob, clock, jump):
    client.log_in(bob)
    client.post("/auth/confirm")
    clock.move(**jump)
    pages = [client.get("/auth/unconfirmed").text]
    bob.confirmed = True
    db.session.commit()
    pages += [client.get(path).text for path in ("/account", "/auth/history", "/auth/devices", "/auth/export")]
    pages += [app.test_cli_runner().invoke(args=args).stdout for args in (["mail", "list"], ["users", "why", "bob"])]
    assert not [
        found for page in pages for found in re.findall(r"-\d+ (?:day|hour|minute|second)\S*|-\d\d?:\d\d", page)
    ]
    assert db.session.scalar(select(UserSession)).last_seen_at > clock.time, "or there is nothing to be negative"
    assert User.find("bob") == bob
