"""The devices page, revoking sessions, and the email about a login on a new device."""

import re

import pytest
from sqlalchemy import select, update
from support.clients import PASSWORD, on_sqlite
from support.pages import FIREFOX, STRANGER, is_logged_in, lines, notes, told
from support.records import rows
from support.routes import addresses

from app.accounts import wording
from app.extensions import db
from app.models import Device, UserSession

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
REASONS = "You were logged out because you logged out this device from another one."
PAGE = "/auth/devices"


@pytest.fixture
def browser(app):
    """Return a function that makes a client with this user agent and IP address."""

    def make(agent=FIREFOX, ip="203.0.113.5"):
        made = app.test_client()
        made.environ_base |= {"HTTP_USER_AGENT": agent, "REMOTE_ADDR": ip}
        return made

    return make


def buttons(page, words=""):
    """Return the URLs of the buttons that revoke a session, in the list items with these words."""
    found = re.findall(r'action="(/auth/devices/[^"]+/revoke)"', page.text)
    return [button for button, line in zip(found, lines(page), strict=True) if words in line]


def ids():
    return db.session.scalars(select(UserSession.id)).all()


def test_devices_page_shows_browser_ip_address_and_times(browser, ada, clock):
    phone, laptop, script = browser(IPHONE, "2001:db8::7"), browser(), browser("<b>me</b>", "not an address")
    phone.log_in(ada)
    first = clock.time
    clock.move(hours=2)
    laptop.log_in(ada)
    second = clock.time
    script.log_in(ada)
    clock.move(minutes=8)
    page = laptop.get(PAGE)
    logged_in = "Logged in with a password ·"
    assert lines(page) == [
        f"Firefox on Linux This device Active now · 203.0.113.5 {logged_in} 8 minutes ago Log out",
        f"Unknown browser Last active 8 minutes ago · Unknown IP address {logged_in} 8 minutes ago Log out",
        f"Safari on iPhone Last active 2 hours ago · 2001:db8::7 {logged_in} 2 hours ago Log out",
    ]
    assert 'aria-label="Log out Safari on iPhone"' in page.text
    for at in (first, second):
        assert f'<time datetime="{at:%Y-%m-%dT%H:%M:%S}+00:00" title="{at:%-d %B %Y, %H:%M} UTC">' in page.text
    assert "<b>me" not in page.text
    assert "3 devices" in laptop.get("/account").text


def test_devices_page_omits_ended_sessions_and_those_of_others(browser, ada, bob, clock):
    for user in (ada, bob, ada):
        browser(IPHONE).log_in(user)
    clock.move(hours=12)
    left, laptop = browser(IPHONE), browser()
    left.log_in(ada)
    left.post("/auth/logout")
    laptop.log_in(ada)
    page = laptop.get(PAGE)
    assert [line.split(" Active")[0] for line in lines(page)] == ["Firefox on Linux This device"]
    assert "Log out all other devices" not in page.text


def test_no_page_shows_a_session_id(app, browser, ada, clock):
    laptop, phone = browser(), browser(IPHONE)
    laptop.log_in(ada)
    phone.log_in(ada)
    assert len(ids()) == 2
    handles = [address.split("/")[3] for address in buttons(laptop.get(PAGE))]
    asked = [address for _, address in addresses(app, "GET")]
    for is_recent in (True, False):
        for address in asked:
            with laptop.get(address) as page:
                assert not [key for key in ids() if key.encode() in page.data + str(page.headers).encode()], (
                    address,
                    is_recent,
                )
        clock.move(minutes=16)
    assert len(set(handles)) == 2
    assert not [handle for handle in handles for key in ids() if handle in key or key in handle]


def test_revoked_session_ends_at_its_next_request_and_its_device_is_told_why(browser, ada):
    laptop, phone, tablet = browser(), browser(IPHONE), browser()
    for each in (tablet, laptop, phone):
        each.log_in(ada)
    button = buttons(laptop.get(PAGE), "Safari")[0]
    page = laptop.post(button, follow_redirects=True)
    assert (page.request.path, notes(page), len(lines(page))) == (PAGE, ["Safari on iPhone was logged out."], 2)
    assert told(phone) == [REASONS]
    assert told(phone) == STRANGER, "once"
    assert is_logged_in(laptop)
    assert is_logged_in(tablet)
    assert laptop.post(button).status_code == 404, "it is revoked already"


def test_revoke_others_keeps_this_session_and_those_of_other_users(browser, ada, bob):
    laptop, phone, tablet, bobs = browser(), browser(IPHONE), browser(), browser()
    for each in (laptop, phone, tablet):
        each.log_in(ada)
    bobs.log_in(bob)
    assert "Log out all other devices" in laptop.get(PAGE).text
    page = laptop.post("/auth/devices/revoke-others", follow_redirects=True)
    assert (notes(page), len(lines(page))) == (["2 other devices were logged out."], 1)
    assert told(phone) == told(tablet) == [REASONS]
    assert bobs.get("/").location == "/auth/unconfirmed"
    assert is_logged_in(laptop)
    phone.log_in(ada)
    assert notes(laptop.post("/auth/devices/revoke-others", follow_redirects=True)) == [
        "1 other device was logged out."
    ]


def test_revoking_the_current_session_logs_out(app, browser, ada):
    laptop, phone, copy = browser(), browser(IPHONE), app.test_client()
    phone.log_in(ada)
    laptop.log_in(ada)
    copy.set_cookie("session", laptop.get_cookie("session").value)
    own = buttons(laptop.get(PAGE), "This device")[0]
    page = laptop.post(own, follow_redirects=True)
    assert (page.request.path, notes(page)) == ("/", ["You have been logged out."])
    assert not is_logged_in(laptop)
    assert not is_logged_in(copy)
    assert is_logged_in(phone)


def test_session_of_another_user_cannot_be_revoked_nor_one_by_its_id(browser, ada, bob):
    bob.confirmed = True
    db.session.commit()
    laptop, phone, bobs = browser(), browser(IPHONE), browser()
    for each in (laptop, phone):
        each.log_in(ada)
    bobs.log_in(bob)
    anothers = buttons(bobs.get(PAGE))
    assert len(anothers) == 1
    raw = [f"/auth/devices/{key}/revoke" for key in ids()]
    odd = [f"/auth/devices/{handle}/revoke" for handle in ("0" * 22, "x", "%00", "%C3%A9", "a" * 1000, "%25")]
    before = rows()
    for address in anothers + raw + odd:
        assert laptop.post(address).status_code == 404, address
        assert laptop.get(address).status_code == 405, address
    assert rows() == before
    assert is_logged_in(bobs)
    assert is_logged_in(phone)


def test_login_on_a_new_device_notifies_the_user(browser, ada, outbox, clock):
    laptop, phone = browser(), browser(IPHONE, "198.51.100.9")
    laptop.log_in(ada)
    assert outbox() == [], "the first device ever"
    phone.log_in(ada)
    [email] = outbox()
    assert (email.recipients, email.subject) == (["ada@example.com"], "New login to your Flasky account")
    for words in (f"{clock.time:%-d %B %Y, %H:%M} UTC", "Safari on iPhone", "198.51.100.9"):
        assert words in email.body
        assert words in email.html
    assert outbox.link().startswith("/auth/secure-account/")
    assert "New device logged in" in laptop.get("/auth/history").text

    for each in (laptop, phone):
        clock.move(hours=13)
        each.post("/auth/logout")
        each.log_in(ada)
        each.post("/auth/login", data={"login": "ada", "password": "wrong"})
    assert len(outbox()) == 1, "both devices are known"
    browser().post("/auth/login", data={"login": "ada", "password": "wrong"})
    assert len(outbox()) == 1, "the login failed"


def test_device_known_only_to_another_account_is_new(browser, ada, bob, outbox):
    shared = browser()
    browser().log_in(ada)
    shared.log_in(bob)
    shared.post("/auth/logout")
    assert outbox() == []
    shared.log_in(ada)
    assert [email.recipients for email in outbox()] == [["ada@example.com"]]


def test_device_cookie_lasts_a_year_and_is_http_only(client, ada):
    [cookie] = [text for text in client.log_in(ada).headers.getlist("Set-Cookie") if text.startswith("device=")]
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"} <= set(cookie.split("; "))
    value = client.get_cookie("device").value
    assert len(value) == 43
    client.post("/auth/logout")
    client.log_in(ada)
    assert client.get_cookie("device").value == value
    assert value not in str(rows())
    assert len(db.session.scalars(select(Device)).all()) == 1


def test_device_cookie_does_not_authenticate(client, another_client, ada):
    client.log_in(ada)
    another_client.set_cookie("device", client.get_cookie("device").value)
    assert not is_logged_in(another_client)
    assert another_client.log_in(ada, "wrong").status_code == 422


def test_hostile_device_cookie_is_ignored(app, ada):
    hostile = ['"\\000"', '"a\\000b"', "\u00e9", "\xff\xfe", '"\\303\\251"', "", '"', '"\\015\\012X: y"', "a" * 4096]
    for value in hostile:
        client = app.test_client(use_cookies=False)  # the client would send its own cookies instead
        for _ in range(2):
            form = {"login": "ada", "password": PASSWORD}
            answer = client.post("/auth/login", data=form, headers={"Cookie": f"device={value}"})
            assert (answer.status_code, answer.location) == (302, "/"), value
            cookies = [cookie.partition(";")[0] for cookie in answer.headers.getlist("Set-Cookie")]
            assert client.get("/account", headers={"Cookie": "; ".join(cookies)}).status_code == 200, value
            assert "X" not in answer.headers
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in db.session.scalars(select(Device.key)))


def test_this_device_comes_first_and_buttons_of_equal_devices_differ(browser, ada, clock):
    for _ in range(3):
        browser(IPHONE).log_in(ada)
    clock.move(hours=3)
    laptop, tablet = browser(), browser(IPHONE.replace("iPhone", "iPad"))
    laptop.log_in(ada)
    clock.move(minutes=1)
    tablet.log_in(ada)
    page = laptop.get(PAGE)
    assert lines(page)[0].startswith("Firefox on Linux This device Active now")
    assert lines(page)[1].startswith("Safari on iPad Active now")
    assert re.findall(r'aria-label="Log out ([^"]*)"', page.text) == [
        "Firefox on Linux",
        "Safari on iPad",
        "Safari on iPhone, last active 3 hours ago",
        "Safari on iPhone, last active 3 hours ago (2)",
        "Safari on iPhone, last active 3 hours ago (3)",
    ]


@on_sqlite
def test_numbers_added_to_equal_labels_make_none_equal_to_another(app):
    assert wording.distinct(["A (2)", "A", "A", "A", "A (2)"]) == ["A (2)", "A", "A (3)", "A (4)", "A (2) (2)"]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("passkey", "Logged in with a passkey · just now"),
        ("sso:acme", "Logged in with acme · just now"),
        ("telepathy", "Logged in · just now"),
    ],
)
def test_devices_page_shows_how_a_device_logged_in(browser, ada, method, words):
    laptop = browser()
    laptop.log_in(ada)
    db.session.execute(update(UserSession).values(method=method))
    db.session.commit()
    assert words in lines(laptop.get(PAGE))[0]
