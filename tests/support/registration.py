"""The registration form, filled in, and a race for a username."""

from app.models import User
from support.clients import PASSWORD

FORM = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}


def lose_the_username(client, winner, monkeypatch, form=FORM):
    """Register "EVE" while `winner` registers "eve" between the form's check and the insert; return the refusal."""
    find, asked = User.find, []

    def find_nobody_at_first(login):
        asked.append(login)
        if len(asked) > 1:
            return find(login)
        assert winner.post("/auth/register", data=form | {"email": "other@example.com"}).status_code == 302
        return None

    monkeypatch.setattr(User, "find", find_nobody_at_first)
    page = client.post("/auth/register", data=form | {"username": "EVE"})
    assert page.status_code == 422
    assert "already taken" in page.text
    return page
