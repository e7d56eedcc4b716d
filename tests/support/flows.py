"""One person after the other does all that can be done here: a tour over every page and every flow of the web."""

import re

from app.accounts import invitations
from app.extensions import db
from support.authenticators import prove, set_up
from support.clients import PASSWORD
from support.passkeys import LOGIN, MAKE, PAGE, STEP, USE_AGAIN, USE_AS_STEP, Key, add, asked, log_in, page_of
from support.passkeys import prove as reauthenticate_by_passkey
from support.passwords import NEW, NEW_TWICE
from support.sso import START, travel

SAME_TWICE = {"password": PASSWORD, "confirm_password": PASSWORD}


class Tour:
    """`make()` makes a browser; `emails` and `clock` are the fixtures; `issuer` verifies for people."""

    def __init__(self, app, outbox, clock, issuer):
        self.make, self.config = app.test_client, app.config
        self.outbox, self.clock, self.issuer = outbox, clock, issuer

    def go(self):
        self.look_around()
        ada = self.register("ada")
        self.look_at_own_pages(ada)
        self.change_what_one_has(ada)
        self.forget(ada)
        self.come_by_email()
        self.verify_a_device()
        self.come_from_elsewhere()
        self.have_two_factor()
        self.have_passkeys()
        self.see_to_browsers()
        self.hide()
        self.invite()
        self.leave()

    def look_around(self):
        stranger = self.make()
        for path in (
            "/",
            "/healthz",
            "/healthz/x",
            "/readyz",
            "/metrics",
            "/.well-known/change-password",
            "/.well-known/security.txt",
            "/favicon.ico",
            "/manifest.webmanifest",
            "/robots.txt",
            "/appearance",
            "/auth/login",
            "/auth/register",
        ):
            stranger.get(path, buffered=True)
        for path in ("/auth/magic-link", "/auth/magic-link/sent", "/auth/reset", "/auth/email-sent", "/auth/logout"):
            stranger.get(path)
        stranger.post("/appearance", data={"scheme": "dark"})
        stranger.post("/auth/login", data={"login": "nobody", "password": "wrong"})
        self.config.update(CAPTCHA="recaptcha", RECAPTCHA_PUBLIC_KEY="x", RECAPTCHA_PRIVATE_KEY="x")
        stranger.post("/auth/login", data={"login": "nobody@example.com", "password": "wrong"})
        self.config.update(CAPTCHA="off", RECAPTCHA_PUBLIC_KEY="", RECAPTCHA_PRIVATE_KEY="")

    def register(self, name):
        browser = self.make()
        browser.post("/auth/register", data=registration(name, f"{name}@example.net"))
        browser.post("/auth/unconfirmed", data={"email": f"{name}@example.com"})
        browser.post("/auth/unconfirmed", data={"code": "1234 5678"})
        browser.get("/auth/unconfirmed")
        browser.get("/auth/delete")
        self.clock.move(minutes=2)
        browser.post("/auth/confirm")
        self.make().get(self.outbox.link())
        assert browser.get(self.outbox.link()).location == "/"
        return browser

    def look_at_own_pages(self, ada):
        self.clock.move(minutes=6)  # seen again
        for path in ("/", "/account", "/auth/history", "/auth/devices", "/auth/connections", "/auth/two-factor"):
            assert ada.get(path).status_code == 200
        for path in ("/auth/passkeys", "/auth/export", "/auth/change-password", "/auth/change-email"):
            assert ada.get(path).status_code == 200
        assert ada.get("/auth/login-methods").status_code == 200
        assert ada.post("/auth/passkeys/not-now").location == "/"
        for path in ("/auth/change-username", "/auth/reauthenticate", "/auth/logout", "/auth/delete"):
            assert ada.get(path).status_code == 200
        self.clock.move(minutes=30)
        assert ada.get("/auth/export").location == "/auth/reauthenticate"
        ada.post("/auth/reauthenticate", data={"password": "wrong"})
        assert ada.post("/auth/reauthenticate", data={"password": PASSWORD}).location == "/auth/export"
        assert ada.post("/auth/export", buffered=True).data.startswith(b"PK")

    def change_what_one_has(self, ada):
        assert ada.get("/language").status_code == 200
        assert ada.post("/language", data={"time_zone": "Europe/Berlin"}).status_code == 302
        ada.post("/auth/change-username", data={"username": "lovelace"})
        ada.post("/auth/change-username", data={"username": "ada"})
        ada.post("/auth/change-password", data={"old_password": PASSWORD, **NEW_TWICE})
        ada.post("/auth/change-email", data={"email": "ada@example.org", "password": NEW})
        assert ada.get(self.outbox.link(-2)).location == "/account"
        self.secure()

    def secure(self, link=None):
        """It was not them: they take the account back, by the newest email if by no other."""
        link = link or self.outbox.link()
        assert self.make().get(link).status_code == 200
        assert self.make().post(link, data=SAME_TWICE).location == "/auth/login"

    def verify_a_device(self):
        self.config.update(VERIFY_NEW_DEVICES=True)
        new = self.make()
        assert enter(new, "ada").location == "/auth/verify-device"
        new.get("/auth/verify-device")
        new.post("/auth/verify-device", data={"code": "1234 5678"})
        self.config.update(VERIFY_NEW_DEVICES=False)

    def forget(self, ada):
        assert ada.get("/account").status_code == 302  # why it was ended
        ada.post("/auth/reset", data={"email": "nobody@example.com"})
        ada.post("/auth/reset", data={"email": "ada@example.com"})
        ada.get("/auth/email-sent")
        reset = self.outbox.link()
        ada.get(reset)
        assert ada.post(reset, data=SAME_TWICE).location == "/auth/login"
        assert enter(ada, "ada").location == "/"
        ada.post("/auth/logout")

    def come_by_email(self):
        asking, other = self.make(), self.make()
        for email in ("nobody@example.com", "ada@example.com"):
            asking.post("/auth/magic-link", data={"email": email})
            asking.get("/auth/magic-link/sent")
            asking.post("/auth/magic-link/sent", data={"code": "1234 5678"})
        link = self.outbox.link()
        other.get(link)
        assert other.post(link).location == "/"

    def come_from_elsewhere(self):
        vera, ada = self.make(), self.make()
        vera.get(START)
        travel(vera, self.issuer, sub="vera", email="vera@example.com")  # new
        travel(self.make(), self.issuer, sub="vera", email="vera@example.com")  # known
        nameless = self.make()
        travel(nameless, self.issuer, sub="x", email=None)
        nameless.get(f"{START}/address")
        nameless.post(f"{START}/address", data={"email": "x@example.com"})
        assert travel(ada, self.issuer, sub="ada").location == f"{START}/link"  # her address is taken
        ada.get(f"{START}/link")
        enter(ada, "ada")
        ada.get(f"{START}/link")
        ada.post(f"{START}/link")
        unlink = re.search(r'href="([^"]*unlink)"', ada.get("/auth/connections").text)[1]
        assert ada.get(unlink).status_code == 200
        ada.post(unlink)
        assert self.make().post(f"{START}/callback", data={"state": "x", "code": "y"}).status_code == 302
        travel(ada, self.issuer, sub="ada")
        self.secure()
        # Without a password, a code of an email proves who one is.
        vera.post("/auth/change-email", data={"send_code": ""})
        vera.post("/auth/change-email", data={"email": "vera@example.org", "code": "1234 5678"})
        vera.post("/auth/reauthenticate", data={"send_code": ""})
        vera.post("/auth/reauthenticate", data={"code": "1234 5678"})

    def have_two_factor(self):
        bob = self.register("bob")
        phone = set_up(bob, self.clock)
        turned_on = self.outbox.link()
        for code in (phone.codes[0], phone.code()):
            other = self.make()
            assert enter(other, "bob").location == STEP
            other.get(STEP)
            other.post(STEP, data={"code": "000000"})
            assert other.post(STEP, data={"code": code, "trust": "y"}).location == "/"
        other.post("/auth/logout")
        assert enter(other, "bob").location == "/"
        other.post("/auth/reauthenticate", data={"password": PASSWORD, "factor_code": phone.codes[1]})
        press(other, "/auth/devices", "devices/[^/]+/untrust")
        for page in ("/auth/two-factor/require-passkey", "/auth/two-factor/require-passkey/off"):
            assert other.get(page).status_code == 200
            other.post(page)
        assert other.get("/auth/recovery-codes").status_code == other.post("/auth/recovery-codes").status_code == 200
        self.secure(turned_on)
        rob = self.register("rob")
        prove(rob, set_up(rob, self.clock))
        assert rob.get("/auth/two-factor/off").status_code == 200
        assert rob.post("/auth/two-factor/off").location == "/auth/two-factor"

    def have_passkeys(self):
        key, eve, other, half_way = Key(), self.register("eve"), self.make(), self.make()
        add(eve, key)
        assert "codes" in eve.post("/auth/two-factor/require-passkey").text
        assert log_in(other, key).location == "/"
        reauthenticate_by_passkey(other, key)
        assert other.get("/auth/passkeys/add").location == PAGE
        assert add(other, Key()).location == PAGE
        self.secure()
        assert log_in(other, key).location == "/"
        page = page_of(other)
        other.get(page)
        other.post(page, data={"name": "My other phone"})
        other.post("/auth/reauthenticate", data={"credential": key.get(asked(other, USE_AGAIN))})
        assert enter(half_way, "eve").location == STEP
        assert log_in(half_way, key, asked(half_way, USE_AS_STEP), STEP).location == "/"
        half_way.post(LOGIN, data={"credential": "{}"})
        reauthenticate_by_passkey(half_way, key)
        asked(half_way, MAKE)
        assert press(half_way, "/auth/remove-password", "remove-password").location == PAGE
        reauthenticate_by_passkey(half_way, key)
        assert press(half_way, f"{page_of(half_way)}/remove", "remove").location == PAGE

    def see_to_browsers(self):
        one, two = self.make(), self.make()
        for browser in (one, two):
            assert enter(browser, "rob").location == "/"
        two.post("/auth/devices/revoke-others")
        one.get("/")  # it is told why
        enter(one, "rob")
        press(two, "/auth/devices", "devices/[^/]+/revoke")

    def hide(self):
        self.config["PREVENT_ENUMERATION"] = True
        stranger = self.make()
        for email in ("rob@example.com", "mallory@example.com"):
            stranger.post("/auth/register", data=registration(f"x-{email[0]}", email))
        link = self.outbox.link()
        stranger.get(link)
        assert stranger.post(link, data={"password": PASSWORD}).location == "/"
        self.config["PREVENT_ENUMERATION"] = False

    def invite(self):
        stranger, invitation = self.make(), invitations.send("invited@example.com")
        db.session.commit()
        link = f"/auth/invitation/{invitation.token()}"
        assert stranger.get(link).status_code == 200
        assert stranger.post(link, data={"username": "invited", **SAME_TWICE}).location == "/"

    def leave(self):
        rob = self.make()
        enter(rob, "rob")
        assert rob.post("/auth/delete", data={"email": "rob@example.com"}).location == "/"
        enter(rob, "rob")
        assert rob.get("/").location == "/auth/cancel-deletion"
        rob.get("/auth/cancel-deletion")
        assert rob.post("/auth/cancel-deletion").status_code == 302
        rob.post("/auth/logout")


def registration(name, email):
    return {"email": email, "username": name, **SAME_TWICE}


def press(browser, page, action):
    """Open a page, and send the first of its forms whose address ends so."""
    return browser.post(re.search(rf'action="([^"]*{action})"', browser.get(page).text)[1])


def enter(browser, login):
    return browser.post(LOGIN, data={"login": login, "password": PASSWORD})
