"""The page on which users choose their language and time zone, and what registration and login store of the browser."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite
from support.registration import FORM
from support.sso import ADA, set_out

from app import time_zones
from app.extensions import db
from app.models import User

LANGUAGES = ["en", "de", "ar"]
DEEP = "Europe/" + "a." * 500 + "b/x"  # zoneinfo would import as many packages, one within the other
GERMAN = {"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}


@pytest.fixture
def settings():
    return {"LANGUAGES": LANGUAGES}


def language_of(page):
    return re.search(r'<html lang="([^"]*)" dir="([^"]*)"', page.text).groups()


@on_sqlite
def test_a_visitor_chooses_a_language_and_goes_on_in_it(client):
    page = client.get("/auth/login?next=/account")
    assert 'href="/language?next=/auth/login"' in page.text
    page = client.get("/language?next=/auth/login")
    for tag, name in (("en", "English"), ("de", "Deutsch"), ("ar", "العربية")):
        assert (
            f'<label class="form-check-label" for="language-{tag}" lang="{tag}"><bdi>{name}</bdi></label>' in page.text
        )
    assert "<select" not in page.text
    answer = client.post("/language", data={"language": "ar", "next": "/auth/login"})
    assert (answer.status_code, answer.location) == (302, "/auth/login")
    assert "Max-Age=31536000" in answer.headers["Set-Cookie"]
    assert language_of(client.get("/auth/login")) == ("ar", "rtl")
    assert 'value="ar" required checked' in client.get("/language").text


@on_sqlite
@pytest.mark.parametrize("language", ["", "fr", "EN", "x" * 1000])
def test_only_an_offered_language_can_be_chosen(client, language):
    answer = client.post("/language", data={"language": language})
    assert answer.status_code == 422
    assert 'id="language-help"' in answer.text
    assert client.get_cookie("language") is None


@on_sqlite
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_the_choice_leads_back_to_our_own_pages_only(client, target):
    assert client.post("/language", data={"language": "de", "next": target}).location == "/language"


def test_a_user_chooses_language_and_time_zone(client, another_client, ada, clock):
    clock.time = datetime(2031, 5, 4, 22, 5, tzinfo=UTC)
    client.log_in(ada)
    page = client.get("/language?next=/auth/history")
    assert '<option value="Asia/Kolkata">Kolkata (GMT+05:30)</option>' in page.text
    assert '<option value="">' in page.text, "nothing is chosen yet"
    page = client.post("/language", data={"language": "de", "time_zone": "Europe/Berlin", "next": "/auth/history"})
    assert page.location == "/auth/history"
    assert (ada.language, ada.time_zone) == ("de", "Europe/Berlin")
    page = client.get("/auth/history")
    assert language_of(page) == ("de", "ltr")
    assert "5. Mai 2031, 00:05 MESZ" in page.text
    assert "data-moment" not in page.text, "app.js leaves these times as they are"
    assert 'value="Europe/Berlin" selected' in client.get("/language").text
    another_client.log_in(ada)
    assert language_of(another_client.get("/account")) == ("de", "ltr")
    client.post("/language", data={"language": "ar", "time_zone": "Asia/Calcutta"})
    assert ada.time_zone == "Asia/Kolkata"
    page = client.get("/auth/history").text
    assert "5 مايو 2031، 3:35 ص غرينتش+05:30" in page


@on_sqlite
def test_the_list_of_time_zones_follows_the_clocks_but_is_not_made_for_each_page(client, ada, clock, monkeypatch):
    made = []
    monkeypatch.setattr(time_zones, "ZoneInfo", lambda name: made.append(name) or ZoneInfo(name))
    clock.time = datetime(2033, 3, 27, 0, 59, 59, tzinfo=UTC)
    client.log_in(ada)
    assert "London (GMT+00:00)" in client.get("/language").text
    is_made = len(made)
    assert "London (GMT+00:00)" in client.get("/language").text
    assert len(made) == is_made > 400
    clock.time = datetime(2033, 3, 27, 1, 0, tzinfo=UTC)
    assert "London (GMT+01:00)" in client.get("/language").text


@on_sqlite
@pytest.mark.parametrize(
    "time_zone", ["Mars/Utopia", "Europe", "Europe/", "../../etc/passwd", "Asia/" + "x" * 5000, DEEP, "Etc/GMT+5"]
)
def test_an_unknown_time_zone_is_refused(client, ada, time_zone):
    client.log_in(ada)
    answer = client.post("/language", data={"language": "de", "time_zone": time_zone})
    assert (answer.status_code, ada.language, ada.time_zone) == (422, "en", None)
    assert 'id="time_zone-help"' in answer.text


@on_sqlite
@pytest.mark.parametrize("settings", [{"LANGUAGES": ["en"]}])
def test_with_one_language_only_users_have_a_choice(client, ada):
    assert client.get("/language").location.startswith("/auth/login")
    assert 'href="/language' not in client.get("/auth/login").text
    client.log_in(ada)
    assert ada.language is None
    page = client.get("/language").text
    assert 'name="language"' not in page
    client.post("/language", data={"time_zone": "Africa/Cairo"})
    assert (ada.language, ada.time_zone) == (None, "Africa/Cairo")
    assert "Cairo" in client.get("/account").text


@pytest.mark.parametrize(
    "settings", [{"LANGUAGES": LANGUAGES, "PREVENT_ENUMERATION": hidden} for hidden in (False, True)]
)
def test_registration_stores_the_language_and_time_zone_of_the_browser(client):
    client.post("/auth/register", data=FORM | {"time_zone": "Asia/Calcutta"}, headers=GERMAN)
    eve = User.find("eve")
    assert (eve.language, eve.time_zone) == ("de", "Asia/Kolkata")


@on_sqlite
@pytest.mark.parametrize("time_zone", [None, "", "Mars/Utopia", "x" * 5000, DEEP, "\0"])
def test_a_missing_or_unknown_time_zone_of_a_browser_is_ignored(client, time_zone):
    client.post("/auth/register", data=FORM | {"time_zone": time_zone})
    assert User.find("eve").time_zone is None


@pytest.mark.parametrize("settings", [{"LANGUAGES": ["en"]}])
def test_with_one_language_registration_stores_none(client):
    client.post("/auth/register", data=FORM, headers=GERMAN)
    assert User.find("eve").language is None


def test_registration_at_a_provider_stores_them_too(app, client, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    to_provider = set_out(client, time_zone="Africa/Cairo")
    client.set_cookie("language", "ar")
    client.get(issuer.agree(to_provider, **ADA | {"sub": "eve", "email": "eve@example.com"}))
    eve = User.find("eve@example.com")
    assert (eve.language, eve.time_zone) == ("ar", "Africa/Cairo")


def test_login_stores_them_with_an_account_that_has_none(client, another_client, ada):
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD, "time_zone": "Africa/Cairo"}, headers=GERMAN)
    db.session.refresh(ada)
    assert (ada.language, ada.time_zone) == ("de", "Africa/Cairo")
    another_client.log_in(ada, time_zone="Europe/Berlin")
    db.session.refresh(ada)
    assert (ada.language, ada.time_zone) == ("de", "Africa/Cairo")


def test_the_time_zone_outlasts_the_second_factor(client, phone, ada):
    client.log_in(ada, time_zone="Africa/Cairo")
    assert ada.time_zone is None
    client.post("/auth/two-factor/verify", data={"code": phone.code()})
    assert ada.time_zone == "Africa/Cairo"


@on_sqlite
def test_commands_create_and_show_them(flask):
    flask("users", "create", "--email", "eve@example.com", "--username", "eve", "--no-input",
          "--language", "de", "--time-zone", "Asia/Calcutta")  # fmt: skip
    shown = flask("users", "show", "eve").stdout
    assert "Language   de\n" in shown
    assert "Time zone  Asia/Kolkata\n" in shown
    for option, value in (("--language", "fr"), ("--time-zone", "Mars/Utopia")):
        refused = flask("users", "create", "--email", "e@example.com", "--username", "e", "--no-input", option, value)
        assert refused.exit_code == 1
        assert value in refused.stderr


@on_sqlite
def test_an_import_reads_them_and_names_what_it_does_not_know(flask, tmp_path):
    file = tmp_path / "users.csv"
    rows = ["eve,eve@example.com,ar,Asia/Calcutta", "cy,cy@example.com,fr,", "di,di@example.com,,Mars/Utopia"]
    file.write_text("\n".join(["username,email,language,time_zone", *rows]))
    said = flask("users", "import", str(file)).stdout
    assert "'fr'" in said
    assert "'Mars/Utopia'" in said
    [eve] = db.session.scalars(select(User))
    assert (eve.language, eve.time_zone) == ("ar", "Asia/Kolkata")
