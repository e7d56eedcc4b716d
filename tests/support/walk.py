"""A walk over every address of the application, in the shoes of each kind of visitor, with what a test brings along.

Which fields an address takes, and which parts of a query, is what it is heard to ask for; addresses with something in
them are found on pages, or have a token. So a new route is walked by itself.
"""

import html
import json
import re
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from urllib.parse import quote, urlencode

from flask import Request
from sqlalchemy import func, select, update
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.utils import cached_property

from app import clock
from app.accounts import authenticators, sso
from app.email.outbox import recipient_hash
from app.extensions import db
from app.models import (
    Actor,
    AuditAction,
    AuditEvent,
    Authenticator,
    Device,
    Identity,
    Invitation,
    Passkey,
    User,
    UserSession,
)
from app.security import signing
from app.security.token_purposes import TokenPurpose
from settings.providers import Provider
from support.clients import PASSWORD
from support.routes import our_rules

PROVIDERS = {"x": Provider("x", "X", "http://127.0.0.1:9", "an id", "a secret")}  # nobody listens there
FORM = "application/x-www-form-urlencoded"

# A form without these: each of them makes it another one.
SWITCHES = {"credential", "send_code", "again", "recovery_code"}
HELD_BACK = ("/auth/login", "/auth/unconfirmed", "/auth/reauthenticate")


NAMES = {}  # which fields a visitor's form was heard to have, by its view
PAGES = {}  # which endpoints stand, with something in their addresses, on a visitor's pages
PURPOSES = {}  # of the tokens that an endpoint takes


class Heard(ImmutableMultiDict):
    """What came with a request; it notes what the application asks for."""

    names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        self.names.add(name)
        return super().__contains__(name)

    def get(self, name, *args, **kwargs):
        self.names.add(name)
        return super().get(name, *args, **kwargs)

    def getlist(self, name, *args, **kwargs):
        self.names.add(name)
        return super().getlist(name, *args, **kwargs)


class Fields(Heard):
    names = set()


class Query(Heard):
    names = set()


class Listening(Request):
    @cached_property
    def args(self):
        return Query(super().args)

    @cached_property
    def form(self):
        return Fields(super().form)

    @cached_property
    def files(self):
        _ = self.form  # reading either reads both
        return super().files


# Visitors


def cookies(client):
    """Return the values of the cookies that the application may have set."""
    names = [client.application.config[name] for name in ("SESSION_COOKIE_NAME", "DEVICE_COOKIE_NAME")]
    return {name: cookie.value for name in names if (cookie := client.get_cookie(name))}


def stranger(client, number):
    """Somebody who began whatever a stranger can begin."""
    client.post("/auth/magic-link", data={"email": person(number).email})
    said = sso.ExternalIdentity("x", "http://127.0.0.1:9", f"{number}", email=None, is_verified=False, names=())
    waiting = {"remember": False, "destination": None, "at": clock.now().timestamp()}
    with client.session_transaction() as session:
        session["external_identity"] = {"identity": asdict(said)} | waiting
        session["sso"] = ["x"]


def unconfirmed(client, number):
    client.post("/auth/register", data=plausible(number))


def member(client, number):
    """Somebody who has one of everything that pages list."""
    user = person(number)
    client.log_in(user)
    db.session.execute(
        update(Device).where(Device.user_id == user.id).values(trusted_until=user.created_at.replace(year=9999))
    )


def member_with_app(client, number):
    """Somebody with an authenticator app, who logged in a while ago."""
    user = person(number)
    client.log_in(user)
    add_app(user)
    db.session.execute(update(UserSession).where(UserSession.user_id == user.id).values(authenticated_at=None))


def member_without_password(client, number):
    """Somebody who logged in a while ago, and has been sent a code."""
    user = person(number)
    client.log_in(user)
    user.password_hash = None
    db.session.execute(update(UserSession).where(UserSession.user_id == user.id).values(authenticated_at=None))
    db.session.commit()
    client.post("/auth/reauthenticate", data={"send_code": "y"})


def two_factor_pending(client, number):
    user = person(number)
    add_app(user)
    db.session.commit()
    client.log_in(user)


KNOWN_BY_COOKIES = {stranger, two_factor_pending}  # of these, all that counts is what their browser holds


def person(number, **columns):
    user = User(email=f"person{number}@example.com", username=f"person{number}", password=PASSWORD)
    user.confirmed = columns.get("confirmed", True)
    db.session.add(user)
    db.session.flush()
    passkey = Passkey(user_id=user.id, name="Phone", credential_id=f"{number:04}", public_key="x", sign_count=0)
    identity = Identity(user_id=user.id, provider="x", issuer="http://127.0.0.1:9", subject=f"of {number}")
    db.session.add_all([passkey, identity])
    db.session.commit()
    return user


def add_app(user):
    secret = signing.encrypt("authenticator", authenticators.new_secret())
    db.session.add(Authenticator(user_id=user.id, secret=secret))
    user.two_factor_enabled_at = clock.now()


def plausible(number):
    return {
        "login": "person1",
        "password": PASSWORD,
        "old_password": PASSWORD,
        "confirm_password": PASSWORD,
        "email": f"new{number}@example.com",
        "username": f"new{number}",
        "code": "12345678",
        "factor_code": "123456",
        "recovery_code": "A" * 24,
        "target": "/account",
        "credential": "{}",
        "user": "vera",
    }


# The walk


class Walk:
    def __init__(self, app, visitor):
        app.testing = False  # so that a bug becomes a page
        app.request_class = Listening
        self.app, self.enter, self.numbers = app, visitor, count(1)
        self.client, self.asked, self.turn = None, 0, 0

    def rules(self, method):
        return [rule for rule in our_rules(self.app) if method in rule.methods]

    def some(self, values, number):
        """Return so many of the values, where the last time ended: so over all addresses each comes up."""
        self.turn += number
        return [values[turn % len(values)] for turn in range(self.turn - number, self.turn)]

    def begin(self):
        """Have another visitor, to whom nothing has happened yet."""
        again = self.client and self.enter in KNOWN_BY_COOKIES
        self.number, self.owner, self.known = next(self.numbers), None, {}
        if not again:
            self.client = self.app.test_client()
            self.enter(self.client, self.number)
            db.session.commit()
            self.cookies = cookies(self.client)
            self.standing = self._standing()
        for name in cookies(self.client).keys() - self.cookies.keys():
            self.client.delete_cookie(name)
        for name, value in self.cookies.items():
            self.client.set_cookie(name, value)
        self.is_done = False

    def address(self, rule):
        """Return an address of this rule, which means something to the visitor if any does."""
        if self.is_done:
            self.begin()
        if not rule.arguments:
            return rule.rule
        if rule.endpoint not in self.known:
            if "token" in rule.arguments:
                self.known[rule.endpoint] = fill(rule, self.token(rule))
            else:
                nothing = fill(rule, "1" if "int:" in rule.rule else "x")
                self.known[rule.endpoint] = self._on_pages(rule.endpoint) or nothing
        return self.known[rule.endpoint]

    def token(self, rule):
        """Return a token that this rule takes."""
        if rule.endpoint not in PURPOSES:
            stranger = self.app.test_client()
            tried = ((purpose, stranger.get(fill(rule, self._issue(purpose)))) for purpose in TokenPurpose)
            PURPOSES[rule.endpoint] = next(purpose for purpose, page in tried if page.status_code != 410)
        return self._issue(PURPOSES[rule.endpoint])

    def names(self, rule):
        """Return which fields this rule is heard to ask for."""
        key = (self.enter, self.app.view_functions[rule.endpoint])
        if key not in NAMES:
            known, heard = set(), self.post(rule, {})
            while heard - known:
                known |= heard
                forms = [self.form(known), *({name: "1"} for name in SWITCHES & known)]
                heard = set().union(*(self.post(rule, form) for form in forms))
            NAMES[key] = sorted(known)
        return NAMES[key]

    def form(self, names):
        """What a person would write into these fields."""
        if self.is_done:
            self.begin()
        known = plausible(self.number)
        return {name: known.get(name, "1") for name in set(names) - SWITCHES}

    def post(self, rule, form, **request):
        """Send a form, a mapping or pairs; return which fields were asked for."""
        body = urlencode(
            list(form.items()) if isinstance(form, dict) else form, encoding="utf-8", errors="surrogatepass"
        )
        request = {"data": body, "content_type": FORM} | request
        self.ask(rule, "POST", **request)
        return set(Fields.names)

    def ask(self, rule, method="GET", address=None, **request):
        """Ask for an address of a rule, look at the answer, and return it."""
        address = address or self.address(rule)
        Fields.names.clear()
        Query.names.clear()
        answer = self.client.open(address, method=method, buffered=True, **request)
        self.asked += 1
        told = ascii(f"{method} {address[:200]} {str(request)[:300]} -> {answer.status_code}")
        check(answer, told, is_page=not rule.endpoint.startswith(("dev.issuer", "main.metrics")))
        held_back = (answer.location or "").startswith(HELD_BACK) and "token" not in rule.arguments
        if method == "POST" and answer.status_code < 400 and not held_back:
            is_cheap = self.enter in KNOWN_BY_COOKIES or "token" in rule.arguments
            self.is_done = is_cheap or self._standing() != self.standing  # the next is somebody else's
        answer.close()
        return answer

    def _standing(self):
        """What the visitor is to the application: an account, ways into it, and browsers that are logged in."""
        who = User.username.in_([f"person{self.number}", f"new{self.number}"])
        user = db.session.execute(
            select(User.password_version, User.password_hash, User.confirmed, User.deletion_due_at, User.id).where(who)
        ).first()
        mine = user and [(Passkey, ()), (Identity, ()), (Authenticator, ()), (UserSession, UserSession.active())]
        rows = [select(func.count()).where(model.user_id == user.id, *which) for model, which in mine or ()]
        return user, [db.session.scalar(count) for count in rows]

    def _on_pages(self, endpoint):
        """The address of an endpoint that stands on the visitor's pages: on one that showed it before, if any did."""
        if self.enter not in PAGES:
            pages = [page.rule for page in self.rules("GET") if not page.arguments]
            PAGES[self.enter] = {page: shown for page in pages if (shown := self._on(page).keys())}
        pages = PAGES[self.enter]
        for page in sorted(pages, key=lambda page: endpoint not in pages[page]):
            if address := self._on(page).get(endpoint):
                return address
        return None

    def _on(self, page):
        text = self.client.get(page, buffered=True).get_data().decode(errors="replace")
        adapter, found = self.app.url_map.bind("localhost"), {}
        for address in {html.unescape(address) for address in re.findall(r'"(/(?!static|assets)[^"\s]+)"', text)}:
            for method in ("GET", "POST"):
                with suppress(HTTPException):
                    endpoint, values = adapter.match(address, method)
                    found |= {endpoint: address} if values else {}
        return found

    def _issue(self, purpose):
        """A token to somebody else's account."""
        if not self.owner:
            number = next(self.numbers)
            self.owner = person(number, confirmed=False)
            add_app(self.owner)
            db.session.add(AuditEvent(user_id=self.owner.id, action=AuditAction.PASSWORD_CHANGED))
            db.session.commit()
        if purpose is TokenPurpose.INVITATION:
            invitation = Invitation(email=f"invited{next(self.numbers)}@example.com", actor=Actor.COMMAND_LINE)
            db.session.add(invitation)
            db.session.commit()
            return invitation.token()
        about = select(AuditEvent.id).where(AuditEvent.user_id == self.owner.id, AuditEvent.link_revoked_at.is_(None))
        about = {"event": db.session.scalar(about), "to": recipient_hash(self.owner.email)}
        return self.owner.issue_token(purpose, email="moved@example.com", challenge="x", **about)


def fill(rule, value):
    """The address of a rule with this value for each part of it, however little it fits."""
    quoted = quote(value, safe="", errors="surrogatepass")
    return re.sub(r"<[^>]+>", lambda _: quoted, rule.rule)


def check(answer, told, is_page=True):
    """No answer is a bug's, leads outside, or shows what was typed as HTML; an error is a page of this site."""
    assert answer.status_code < 500, told
    if answer.location is not None:
        inside = answer.location.removeprefix("http://localhost")
        assert re.match(r"/(?![/\\])[\x21-\x7e]*$", inside), f"{told} leads to {answer.location}"
    if answer.status_code >= 400 and answer.status_code != 412 and is_page and answer.data:
        if answer.is_json:
            assert json.loads(answer.text).keys() & {"error", "errors"}, told
        else:
            assert answer.mimetype == "text/html", told
            assert '<nav class="page"' in answer.text, told
    assert answer.mimetype != "text/html" or "<script>alert(" not in answer.text, told
