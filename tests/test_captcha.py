"""The CAPTCHA: responses and failures of its service, and which forms show it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.captcha import Service, broken, send
from support.clients import PASSWORD, on_sqlite, without_tokens
from support.records import count
from support.registration import FORM, lose_the_username
from support.routes import addresses
from support.sso import travel
from support.waiting import PATIENCE

from app.models import User, UserSession

PUBLIC, SECRET, TOKEN = "key-of-the-box", "key-for-the-service", "what-the-box-gave"
TICKED = {"g-recaptcha-response": TOKEN}
OLD = {"login": "ada", "password": PASSWORD}
TICK = "Check the box to show that you are human."
LATER = "The CAPTCHA could not be checked. Try again in a minute."


def silent(service, handler):
    service.over.wait(60)
    send(handler, b'{"success": true}')


def dripping(service, handler):
    """Send a success, each byte within the timeout of the socket."""
    handler.send_response(200)
    handler.end_headers()
    for byte in b" " * 60 + b'{"success": true}':
        handler.wfile.write(bytes([byte]))
        if service.over.wait(1):
            return


def beginning(service, handler):
    """Send the headers of a success likewise."""
    for byte in b"HTTP/1.0 200 " + b"OK" * 60 + b'\r\n\r\n{"success": true}':
        handler.wfile.write(bytes([byte]))
        if service.over.wait(1):
            return


def redirecting(service, handler):
    handler.send_response(303)
    handler.send_header("Location", "https://example.com/")
    handler.end_headers()


def huge(service, handler):
    send(handler, b'{"success": true, "more": "' + b"x" * 10_000_000 + b'"}')


def slow(service, handler):
    service.over.wait(0.5)
    send(handler, b'{"success": true}')


NO = {
    "no": {"success": False, "error-codes": ["invalid-input-response"]},
    "another host's": {"success": True, "hostname": "evil.example"},
    "yes as text": {"success": "true", "hostname": "localhost"},
    "yes as a number": {"success": 1, "hostname": "localhost"},
}
NO_ANSWER = {
    "no JSON": b"<h1>Welcome</h1>",
    "no text": b"\xff\xfe\x00",
    "JSON without success": {"hostname": "localhost"},
    "a list": [True],
    "true alone": True,
    "without end": b"[" * 50_000,
    "an error": broken,
    "huge": huge,
    "elsewhere": redirecting,
}
TOO_SLOW = {"silent": silent, "dripping": dripping, "beginning": beginning}
YES = {
    "yes": {"success": True, "hostname": "localhost"},
    "yes without a host": {"success": True},
    "yes with more": {"success": True, "hostname": "localhost", "challenge_ts": "2026-01-01T00:00:00Z", "score": 0.9},
}
FORMS = pytest.mark.parametrize(("address", "typed"), [("register", FORM), ("login", OLD)], ids=["register", "login"])
pytestmark = on_sqlite


def each(*kinds):
    answers = {name: says for kind in kinds for name, says in kind.items()}
    return pytest.mark.parametrize("says", answers.values(), ids=answers.keys())


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr("app.security.captcha.TIMEOUT", PATIENCE)
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def settings(service, more):
    keys = {"CAPTCHA": "recaptcha", "RECAPTCHA_PUBLIC_KEY": PUBLIC, "RECAPTCHA_PRIVATE_KEY": SECRET}
    return keys | {"RECAPTCHA_VERIFY_SERVER": service.url} | more


ALWAYS = pytest.mark.parametrize("more", [{"CAPTCHA_ALWAYS": True}], ids=["always"])


def has_box(page):
    return 'class="g-recaptcha"' in page.text


def fail(browser, times=3, login="ada"):
    """Fail to log in; return the last response."""
    for _ in range(times):
        page = browser.post("/auth/login", data={"login": login, "password": "wrong"})
    return page


def at(browser, ip):
    """Move a browser to another network."""
    browser.environ_base["REMOTE_ADDR"] = ip
    return browser


def submit(client, address, typed):
    return client.post(f"/auth/{address}", data=typed)


def refused(page, words, typed):
    """Check that the form shows a message and the CAPTCHA again, keeps the input, and did nothing."""
    assert page.status_code == 422
    assert words in page.text.partition('class="g-recaptcha"')[2].partition("</form>")[0]
    kept = {name for name in ("email", "username", "login") if name in typed}
    assert all(f'value="{typed[name]}"' in page.text for name in kept)
    assert PASSWORD not in page.text
    assert (count(User), count(UserSession)) == (1, 0)


def unsecret(caplog):
    """Return the log, after a check that it has no secret."""
    everything = caplog.text + str([record.__dict__ for record in caplog.records])
    assert not [secret for secret in (SECRET, TOKEN, PASSWORD) if secret in everything]
    return caplog.text


@ALWAYS
@FORMS
@each(YES)
def test_solved_captcha_lets_the_form_pass(client, ada, service, says, address, typed):
    service.says = says
    assert submit(client, address, typed | TICKED).status_code == 302
    assert count(UserSession) == 1
    assert len(service.asked) == 1


@ALWAYS
@FORMS
@each(NO)
def test_unsolved_captcha_is_refused_in_testing_too(client, ada, service, caplog, says, address, typed):
    assert client.application.testing, "where Flask-WTF's own check says yes to all"
    service.says = says
    refused(submit(client, address, typed | TICKED), TICK, typed)
    assert len(service.asked) == 1
    unsecret(caplog)


@ALWAYS
@FORMS
@each(NO_ANSWER)
def test_malformed_captcha_response_is_refused(client, ada, service, caplog, says, address, typed):
    service.says = says
    refused(submit(client, address, typed | TICKED), LATER, typed)
    assert "The CAPTCHA service does not answer" in unsecret(caplog)
    gc.collect()  # reports a connection that was left open


@ALWAYS
@FORMS
@pytest.mark.parametrize("host", [[], {}, ["localhost"], 5, True, "", "localhost.evil.example"])
def test_captcha_service_host_that_does_not_resolve_is_unavailable(client, ada, service, caplog, host, address, typed):
    service.says = {"success": True, "hostname": host}
    page = submit(client, address, typed | TICKED)
    refused(page, TICK if TICK in page.text else LATER, typed)
    unsecret(caplog)


@ALWAYS
@FORMS
def test_captcha_service_that_is_down_lets_nobody_pass(client, ada, service, caplog, address, typed):
    service.stop()
    refused(submit(client, address, typed | TICKED), LATER, typed)
    assert "The CAPTCHA service does not answer" in unsecret(caplog)


@ALWAYS
@FORMS
@each(TOO_SLOW)
def test_captcha_verification_times_out(client, ada, service, caplog, monkeypatch, says, address, typed):
    monkeypatch.setattr("app.security.captcha.TIMEOUT", 0.5)
    service.says = says
    refused(submit(client, address, typed | TICKED), LATER, typed)
    assert "The CAPTCHA service does not answer" in unsecret(caplog)


@ALWAYS
@FORMS
def test_slow_captcha_response_within_the_timeout_counts(client, ada, service, address, typed):
    service.says = slow
    assert submit(client, address, typed | TICKED).status_code == 302


@ALWAYS
def test_timed_out_captcha_requests_do_not_block_later_ones(app, ada, service, monkeypatch):
    monkeypatch.setattr("app.security.captcha.TIMEOUT", 0.5)
    service.says = dripping
    with ThreadPoolExecutor(8) as pool:
        browsers = [at(app.test_client(), f"192.0.2.{number}") for number in range(8)]
        waiting = [pool.submit(submit, browser, "login", OLD | TICKED) for browser in browsers]
    assert {each.result().status_code for each in waiting} == {422}
    monkeypatch.setattr("app.security.captcha.TIMEOUT", PATIENCE)
    service.says = YES["yes"]
    assert submit(app.test_client(), "login", OLD | TICKED).status_code == 302


@ALWAYS
@FORMS
def test_captcha_service_gets_secret_response_and_ip_address_only(client, ada, service, address, typed):
    submit(at(client, "203.0.113.9"), address, typed | TICKED)
    assert service.asked == [{"secret": [SECRET], "response": [TOKEN], "remoteip": ["203.0.113.9"]}]


@ALWAYS
@FORMS
@pytest.mark.parametrize("answer", [{}, {"g-recaptcha-response": ""}, {"g-recaptcha-response": "x" * 8193}])
def test_captcha_without_a_response_is_not_verified(client, ada, service, answer, address, typed):
    refused(submit(client, address, typed | answer), TICK, typed)
    assert service.asked == []


@ALWAYS
@FORMS
def test_captcha_is_verified_once_if_the_form_has_other_errors(client, ada, service, address, typed):
    page = submit(client, address, typed | TICKED | {"password": "wrong"})
    assert (page.status_code, has_box(page), TICK in page.text) == (422, True, False)
    assert len(service.asked) == 1


def test_captcha_is_verified_once_when_registration_is_retried(client, another_client, service, monkeypatch):
    page = lose_the_username(client, another_client, monkeypatch, FORM | TICKED)
    assert TICK not in page.text
    assert has_box(page)
    assert len(service.asked) == 2  # once for each of the two users


@pytest.mark.parametrize("more", [{"CAPTCHA": "off"}])
def test_by_default_there_is_no_captcha(client, another_client, ada, service):
    usual = client.get("/").headers["Content-Security-Policy"]
    for page in (client.get("/auth/register"), fail(client, 4), client.get("/auth/login")):
        assert not has_box(page)
        assert "recaptcha" not in page.text
        assert page.headers["Content-Security-Policy"] == usual
    assert client.post("/auth/login", data=OLD).status_code == 302
    assert another_client.post("/auth/register", data=FORM).status_code == 302
    assert service.asked == []


GOOGLES = "https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/"
NET = "https://www.recaptcha.net/recaptcha/"
THEIRS = "https://challenges.example.com:8443"


@pytest.mark.parametrize(
    ("more", "script", "origins"),
    [
        ({}, "https://www.google.com/recaptcha/api.js", GOOGLES),
        ({"RECAPTCHA_SCRIPT": f"{NET}api.js"}, f"{NET}api.js", f"{NET} https://www.gstatic.com/recaptcha/"),
        ({"RECAPTCHA_SCRIPT": f"{THEIRS}/v0/api.js"}, f"{THEIRS}/v0/api.js", THEIRS),
    ],
    ids=["google", "recaptcha.net", "another"],
)
def test_only_pages_with_the_captcha_allow_its_scripts(app, client, ada, script, origins):
    usual = client.get("/").headers["Content-Security-Policy"]
    assert "http" not in usual
    opened = "; ".join(f"{kind} 'self' {origins}" for kind in ("script-src", "frame-src", "connect-src"))
    fail(client)
    for endpoint, address in addresses(app, "GET"):
        with client.get(address) as page:
            with_box = endpoint in {"auth.register", "auth.login"}
            policy = f"{usual}; {opened}" if with_box else usual
            assert page.headers.getlist("Content-Security-Policy") == [policy], endpoint
            if page.mimetype == "text/html":
                assert has_box(page) is with_box, endpoint
                assert (script in page.text) is with_box, endpoint


@pytest.mark.parametrize("address", ["/auth/register", "/auth/login"])
def test_page_with_the_captcha_has_script_public_key_and_noscript_text(client, ada, address):
    fail(client)
    page = client.get(address).text
    form = page.partition('<form method="post" action="' + address)[2].partition("</form>")[0]
    assert "<script src='https://www.google.com/recaptcha/api.js' async defer></script>" in form
    assert f'<div class="g-recaptcha" data-sitekey="{PUBLIC}"' in form
    assert "needs JavaScript" in form.partition("<noscript>")[2].partition("</noscript>")[0]
    assert SECRET not in page


def test_login_shows_the_captcha_to_a_network_after_three_failures(client, another_client, ada, service):
    assert not has_box(client.get("/auth/login"))
    assert not has_box(fail(client, 2))
    assert not has_box(client.get("/auth/login"))
    assert has_box(fail(client, 1))
    assert has_box(client.get("/auth/login"))
    assert has_box(another_client.get("/auth/login"))
    assert not has_box(at(another_client, "203.0.113.9").get("/auth/login"))
    assert service.asked == []


def test_login_shows_the_captcha_for_known_and_unknown_names_alike(app, ada):
    pages = []
    for number, login in enumerate(("ada", "eve")):
        browser = at(app.test_client(), f"203.0.113.{number}")
        tries = [fail(browser, 1, login) for _ in range(4)]
        assert [has_box(page) for page in tries] == [False, False, True, True]
        pages.append([without_tokens(page).replace(f'value="{login}"', "") for page in tries])
    assert pages[0] == pages[1]


def test_login_with_the_right_password_still_requires_the_captcha(client, ada, service):
    fail(client)
    page = client.post("/auth/login", data=OLD)
    refused(page, TICK, OLD)
    assert service.asked == []
    wrong = client.post("/auth/login", data=OLD | {"password": "wrong"})
    assert without_tokens(page) == without_tokens(wrong), "nor is it told from a wrong one"
    assert client.post("/auth/login", data=OLD | TICKED).status_code == 302
    assert len(service.asked) == 1


def test_failures_of_a_browser_count_in_another_network(client, another_client, ada):
    fail(client)
    assert has_box(at(client, "203.0.113.9").get("/auth/login"))
    assert not has_box(at(another_client, "203.0.113.9").get("/auth/login"))


@pytest.mark.parametrize(
    ("one", "another", "is_one_network"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("203.0.113.1", "203.0.113.2", False),
        ("::ffff:203.0.113.1", "::ffff:203.0.113.2", False),  # IPv4-mapped addresses
    ],
)
def test_captcha_counts_failures_by_ipv4_address_and_ipv6_prefix(
    client, another_client, ada, one, another, is_one_network
):
    fail(at(client, one))
    assert has_box(at(another_client, one).get("/auth/login"))
    assert has_box(at(another_client, another).get("/auth/login")) is is_one_network


@pytest.mark.parametrize("said", ["203.0.113.9:4711", "[2001:db8::1]:4711", "unknown", "2001:db8::1%eth0", ""])
def test_captcha_accepts_any_spelling_of_a_proxys_address(client, ada, said):
    assert fail(at(client, said), 2).status_code == 422
    assert has_box(fail(client, 1))
    assert client.post("/auth/login", data=OLD | TICKED).status_code == 302


def test_login_hides_the_captcha_after_15_minutes(client, app, ada, clock):
    fail(client)
    clock.move(minutes=14, seconds=59)
    assert has_box(app.test_client().get("/auth/login"))
    clock.move(seconds=1)
    page = app.test_client().get("/auth/login")
    assert not has_box(page)
    assert "http" not in page.headers["Content-Security-Policy"]
    assert app.test_client().log_in(ada).status_code == 302


def test_login_resets_the_captcha_counter_of_the_browser(client, ada, clock):
    fail(client)
    assert client.post("/auth/login", data=OLD | TICKED).status_code == 302
    client.post("/auth/logout")
    clock.move(minutes=15)
    assert not has_box(client.get("/auth/login"))


def test_wrong_passwords_of_logged_in_users_count_for_the_captcha(client, another_client, ada):
    client.log_in(ada)
    for _ in range(3):
        assert not has_box(another_client.get("/auth/login"))
        client.post("/auth/change-password", data={"old_password": "wrong", "password": "x"})
    assert has_box(another_client.get("/auth/login"))


@ALWAYS
def test_captcha_can_be_shown_at_every_login(client):
    assert has_box(client.get("/auth/login"))


@pytest.mark.parametrize("more", [{"PREVENT_ENUMERATION": True}], ids=["hidden"])
def test_concealed_forms_show_the_captcha_alike(app, ada, service):
    pages = []
    for email in (ada.email, "eve@example.com"):
        form = FORM | {"email": email, "username": f"new-{len(pages)}"}
        without, with_it = (app.test_client().post("/auth/register", data=form | more) for more in ({}, TICKED))
        assert (without.status_code, with_it.status_code) == (422, 302)
        pages.append(without_tokens(without).replace(email, "").replace(form["username"], ""))
    assert pages[0] == pages[1]
    assert len(service.asked) == 2


def test_json_client_gets_the_captcha_error_as_json(client, service):
    answer = client.post("/auth/register", data=FORM, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json) == (422, {"errors": {"captcha": [TICK]}})
    assert service.asked == []


def test_unverified_sso_registration_requires_the_captcha(app, client, another_client, service, issuer):
    """An address that the provider did not verify gets an email, as with the registration form."""
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    page = travel(client, issuer, email="eve@example.com", email_verified=False)
    assert page.location == "/auth/sso/acme/address"
    assert 'class="g-recaptcha"' in client.get(page.location).text
    service.says = {"success": False}
    for fields in ({}, TICKED):
        refused = client.post(page.location, data={"email": "eve@example.com", **fields})
        assert (refused.status_code, TICK in refused.text, count(User)) == (422, True, 0)
    service.says = {"success": True}
    done = client.post(page.location, data={"email": "eve@example.com", **TICKED})
    assert done.location == "/auth/unconfirmed"
    assert travel(another_client, issuer, sub="new", email="new@example.com", email_verified=True).location == "/"
    assert count(User) == 2
