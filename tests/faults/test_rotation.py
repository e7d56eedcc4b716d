"""Another SECRET_KEY: with the earlier one as a fallback all goes on, without it all ends, on clear pages.

docs/rotation.md says how; what it promises is here.
"""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, ROOT, hidden_token
from support.emails import code_in
from support.pages import is_logged_in, notes
from support.registration import FORM

from app.accounts import cleanup
from app.doctor import examine
from app.extensions import db
from app.models import Authenticator

OLD, NEW = "the key of yesterday, which is long enough", "the key of today, which is long enough, too"


@pytest.fixture
def settings():
    return {"SECRET_KEY": OLD}


@pytest.fixture
def rotate(app):
    """Restart with another key: in what is kept of the settings, which is all that a restart changes."""

    def rotate(fallbacks):
        app.config.update(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=fallbacks)

    return rotate


def test_key_rotation_with_a_fallback_keeps_sessions(app, client, ada, rotate, clock):
    client.log_in(ada, remember_me="y")
    rotate((OLD,))
    assert is_logged_in(client)
    clock.move(minutes=5)  # it is noted that the browser was seen, and its cookie written anew
    assert is_logged_in(client)
    rotate(())
    assert is_logged_in(client)


def test_key_rotation_with_a_fallback_keeps_emailed_links_and_codes(app, client, ada, outbox, rotate):
    client.post("/auth/reset", data={"email": ada.email})
    reset = outbox.link()
    client.post("/auth/magic-link", data={"email": ada.email})
    link, code = outbox.link(), code_in(outbox[-1])
    rotate((OLD,))
    assert app.test_client().get(reset).status_code == 200
    assert app.test_client().get(link).status_code == 200
    assert client.post("/auth/magic-link/sent", data={"code": code}).location == "/"
    assert is_logged_in(client)


def test_a_waiting_email_is_signed_with_the_new_key(app, client, ada, outbox, rotate):
    client.post("/auth/reset", data={"email": ada.email})
    rotate((OLD,))
    link = outbox.link()
    rotate(())
    assert app.test_client().get(link).status_code == 200


def test_an_open_form_comes_back_after_a_key_rotation_without_passwords(app, client, ada, rotate):
    app.config["WTF_CSRF_ENABLED"] = True
    token = hidden_token(client.get("/auth/register"))
    for fallbacks in ((OLD,), ()):
        rotate(fallbacks)
        page = client.post("/auth/register", data=FORM | {"csrf_token": token})
        assert page.status_code == 400
        assert "This page was open for too long<" in page.text
        assert "Nothing is lost" in page.text
        assert 'value="eve@example.com"' in page.text
        assert PASSWORD not in page.text
    assert client.post("/auth/register", data=FORM | {"csrf_token": hidden_token(page)}).status_code == 302


@pytest.mark.parametrize("how", ["its code is used", "flask users cleanup", "not at all"])
def test_an_authenticator_survives_key_rotation_if_its_secret_was_reencrypted(
    app, client, ada, phone, rotate, clock, how
):
    rotate((OLD,))
    before = db.session.scalar(select(Authenticator.secret))
    if how == "its code is used":
        app.test_client().log_in(ada)
        assert two_factor(app.test_client(), ada, phone)
        clock.move(minutes=1)
    elif how == "flask users cleanup":
        said = app.test_cli_runner().invoke(args=["users", "cleanup"]).stdout
        assert re.search(r"\b1 secrets on old keys", said)
        assert cleanup.run("secrets_on_old_keys", even_if_done=True).count == 0
    assert (db.session.scalar(select(Authenticator.secret)) == before) is (how == "not at all")

    rotate(())
    assert two_factor(app.test_client(), ada, phone) is (how != "not at all")
    why = app.test_cli_runner().invoke(args=["users", "why", "ada"]).stdout
    assert ("The secret of ada's authenticator app was encrypted with a key that is no longer set" in why) is (
        how == "not at all"
    )
    assert "flask users reset-two-factor ada" in why
    if how == "not at all":
        app.test_cli_runner().invoke(args=["users", "reset-two-factor", "ada", "--yes"])
        client.log_in(ada)
        assert is_logged_in(client)


def test_recovery_codes_survive_a_key_rotation(app, client, ada, phone, rotate):
    rotate(())
    client.log_in(ada)
    client.post("/auth/two-factor/verify", data={"recovery_code": phone.codes[0]})
    assert is_logged_in(client)


def test_key_rotation_without_a_fallback_ends_sessions_and_links_on_clear_pages(app, client, ada, outbox, rotate):
    client.log_in(ada)
    client.post("/auth/reset", data={"email": ada.email})
    link = outbox.link()
    rotate(())
    page = client.get("/account", follow_redirects=True)
    assert (page.request.path, notes(page)) == ("/auth/login", ["Log in to open this page."])
    page = client.get(link)
    assert page.status_code == 410
    assert "This link has expired or was already used" in page.text
    client.log_in(ada)
    assert is_logged_in(client)


def test_secrets_that_no_key_decrypts_are_counted_and_not_changed(app, flask, ada, phone, rotate):
    rotate(())
    before = db.session.scalar(select(Authenticator.secret))
    run = flask("jobs", "run", "secrets_on_old_keys")
    cause = "Secrets of authenticator apps that no key decrypts: 1."
    assert (run.exit_code, run.stdout) == (1, f"secrets_on_old_keys: {cause}\n")
    assert db.session.scalar(select(Authenticator.secret)) == before
    (finding,) = examine("authenticator apps")
    assert str(finding) == f"{cause} Add their key to SECRET_KEY_FALLBACKS. If it is lost, see docs/rotation.md."
    app.config["TWO_FACTOR"] = False
    assert flask("jobs", "run", "secrets_on_old_keys").stdout == "secrets_on_old_keys: 0\n"
    app.config.update(TWO_FACTOR=True, SECRET_KEY_FALLBACKS=(OLD,))
    assert examine("authenticator apps") == []
    assert [flask("jobs", "run", "secrets_on_old_keys").stdout for _ in range(2)] == [
        f"secrets_on_old_keys: {count}\n" for count in (1, 0)
    ]


def test_the_guide_to_key_rotation_names_the_settings_and_commands():
    said = (ROOT / "docs/rotation.md").read_text()
    for name in ("SECRET_KEY_FALLBACKS", "flask users cleanup", "flask users reset-two-factor", "flask users why"):
        assert name in said
    assert "docs/rotation.md" in (ROOT / "README.md").read_text()


def two_factor(browser, user, phone):
    """Log in with a code of the app; say whether it was right."""
    browser.log_in(user)
    return browser.post("/auth/two-factor/verify", data={"code": phone.code()}).status_code == 302
