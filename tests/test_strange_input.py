"""Strange input everywhere: each gets an error on a field or a page, never a 5xx, and no redirect to another site.

The walk requests every route as every kind of visitor (support/walk.py), with all of support/corpora.py.
"""

import base64
import json
import re
from itertools import count, cycle

import pytest
from flask import request
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import func, select, text
from support.clients import JSON, PASSWORD, on_sqlite
from support.corpora import (
    NO_ADDRESSES,
    NO_USERNAMES,
    OTHER_ADDRESSES,
    OUTSIDE,
    SAME_ADDRESSES,
    STRANGE,
    STRANGEST,
    TOKENS,
    encoded,
    raw,
)
from support.routes import our_rules
from support.walk import (
    FORM,
    PROVIDERS,
    PURPOSES,
    Query,
    Walk,
    fill,
    member,
    member_with_app,
    member_without_password,
    stranger,
    two_factor_pending,
    unconfirmed,
)

from app.accounts import two_factor_codes
from app.email import delivery
from app.extensions import db
from app.models import User, email_challenge
from app.security import signing

ANYTHING = [*STRANGE, *OUTSIDE, *NO_ADDRESSES, *NO_USERNAMES]


def by(visitor, *others, marks=(), reaches_database=True):
    """Run the walk as the first visitor, on both databases if the text reaches them, and as the others on SQLite."""
    more = [("postgresql", visitor)] if reaches_database else []
    more += [("sqlite", each) for each in others]
    cases = [pytest.param("sqlite", visitor, marks=marks, id=f"sqlite-{visitor.__name__}")]
    cases += [pytest.param(*case, marks=pytest.mark.extended, id=f"{case[0]}-{case[1].__name__}") for case in more]
    return pytest.mark.parametrize(("database", "visitor"), cases, indirect=["database"])


@pytest.fixture
def proxies():
    """TRUSTED_PROXIES. Parametrize it."""
    return 0


@pytest.fixture
def settings(tmp_path, proxies):
    """No rate limits, and the development mailbox, whose pages the walk requests too."""
    mailbox = str(tmp_path / "mailbox")
    return {"RATELIMIT_ENABLED": False, "OIDC_PROVIDERS": PROVIDERS, "MAILBOX": mailbox, "TRUSTED_PROXIES": proxies}


@pytest.fixture
def walk(app, visitor, monkeypatch):
    monkeypatch.setattr(two_factor_codes, "MAX_ATTEMPTS", 10**6)
    monkeypatch.setattr(two_factor_codes, "MAX_FAILURES", 10**6)
    monkeypatch.setattr(email_challenge, "MAX_ATTEMPTS", 10**6)
    walk = Walk(app, visitor)
    walk.begin()
    delivery.deliver()
    yield walk
    print(f"{walk.asked} requests")


# The forms that differ for a visitor from those of a stranger and a member.
OWN_FORMS = {
    unconfirmed: "unconfirmed|confirm",
    member_with_app: "reauthenticate|two-factor|recovery|authenticator",
    member_without_password: "reauthenticate|password|email",
    two_factor_pending: "two-factor",
}


@by(
    member,
    stranger,
    unconfirmed,
    member_with_app,
    member_without_password,
    two_factor_pending,
    marks=pytest.mark.extended,
)
def test_every_field_of_every_form(walk):
    for rule in walk.rules("POST"):
        if not re.search(OWN_FORMS.get(walk.enter, ""), rule.rule) or not (names := walk.names(rule)):
            continue
        for name in names:
            for value in walk.some(STRANGEST, 5):
                walk.post(rule, walk.form(names) | {name: value})
        for value in walk.some(ANYTHING, 20):
            walk.post(rule, dict.fromkeys(set(names) - {"credential"}, value))
        walk.post(rule, [*walk.form(names).items(), *((name, "\0") for name in names)])
        walk.post(rule, [*((name, "\0") for name in names), *walk.form(names).items()])
        walk.post(rule, dict.fromkeys(names, "\ud800"), headers=JSON)


@by(stranger, unconfirmed, member, marks=pytest.mark.extended, reaches_database=False)
def test_every_stale_form(app, walk):
    """The CSRF token is missing or as strange as the other fields."""
    for rule in walk.rules("POST"):
        names, address = walk.names(rule), walk.address(rule)
        app.config["WTF_CSRF_ENABLED"] = True
        for value in walk.some(STRANGE, 5 if "GET" in rule.methods else 2):
            form = dict.fromkeys([*names, "password", "held-x", "csrf_token"], value)
            walk.post(rule, form, address=address, environ_overrides={"HTTP_X_CSRFTOKEN": raw(value)})
        app.config["WTF_CSRF_ENABLED"] = False


@by(member, stranger, marks=pytest.mark.extended)
def test_every_query_parameter(walk):
    for rule in walk.rules("GET"):
        names = {"next"}
        for value in walk.some(STRANGEST + OUTSIDE, 6):
            walk.ask(rule, query_string=encoded([(name, value) for name in names]))
            names |= Query.names
        walk.ask(rule, query_string=encoded([(name, value) for name in names for value in ("/ok", "//evil.com")]))
        walk.ask(rule, query_string="&=&&%&%ED%A0%80=%ED%A0%80&" + "x=1&" * 2000)


@by(stranger, member, marks=pytest.mark.extended, reaches_database=False)
def test_no_form_redirects_to_another_site(walk):
    for rule in walk.rules("POST"):
        names = walk.names(rule)
        walk.post(rule, walk.form(names))
        for value in walk.some(OUTSIDE, 12) if "next" in Query.names else []:
            walk.post(rule, walk.form(names), query_string=encoded([("next", value)]))


NUMBERS = ["-1", "-0", "01", "٣", "²", "2147483647", "2147483648", str(2**63 - 1), str(2**63), str(2**200), "1/end"]


@by(member, stranger, marks=pytest.mark.extended)
def test_every_part_of_a_url(walk):
    for rule in [rule for rule in our_rules(walk.app) if rule.arguments]:
        for value in [*NUMBERS, *walk.some(STRANGE + OUTSIDE, 20)]:
            for method in rule.methods & {"GET", "POST"}:
                walk.ask(rule, method, address=fill(rule, value))


@by(stranger, reaches_database=False)
def test_every_token_in_a_url(walk):
    for rule in [rule for rule in our_rules(walk.app) if "token" in rule.arguments]:
        token = walk.token(rule)
        purpose = PURPOSES[rule.endpoint]
        key = signing.keys(purpose).keys[0]
        payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert walk.ask(rule, address=fill(rule, token)).status_code != 410, "it is these that are refused"
        for name, make in TOKENS.items():
            if name != "empty" and (purpose.columns or not name.startswith("state")):
                method = walk.some(sorted(rule.methods & {"GET", "POST"}), 1)[0]
                answer = walk.ask(rule, method, address=fill(rule, make(token, key, payload)))
                assert answer.status_code == 410, name


PARTS = "multipart/form-data; boundary=b"
BODIES = [
    ("{}", "application/json"),
    ("[" * 20_000, "application/json"),
    ('{"email": "\\ud800", "password": {"a": [1]}, "code": 1e999}', "application/json"),
    ("login=ada&password=x", "text/plain"),
    ("login=ada&password=x", ""),
    ("login=ada&password=x", "\0"),
    ("login=ada&password=x", f"{FORM}; charset=utf-16"),
    ("login=ada&password=x", f"{FORM}; charset=nonsense"),
    (b"\xff\xfe\x00=%ff&%=%&%ED%A0%80&" + b"&" * 1000, FORM),
    ("x", "multipart/form-data"),
    ("x", "multipart/form-data; boundary="),
    ("x", "multipart/form-data; boundary=" + "b" * 5000),
    ("x", "multipart/form-data; boundary=é\0"),
    ("--b\r\n", PARTS),
    ("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", PARTS),
    ('--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nx', PARTS),
    ('--b\r\nContent-Disposition: form-data; name="email"; filename="\0"\r\nContent-Type: x\r\n\r\n\0\r\n--b--', PARTS),
    (
        '--b\r\nContent-Disposition: form-data; name="login"\r\nContent-Type: text/plain; charset=x\r\n\r\n\0\r\n--b--',
        PARTS,
    ),
    ('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 500 + "--b--", PARTS),
]
LENGTHS = ["", "-1", "abc", "0", "5", "9" * 30, "1000", "٣", "1e3", "+5", "5, 5"]


@by(stranger, member, marks=pytest.mark.extended, reaches_database=False)
def test_every_body_that_is_not_a_form(app, walk):
    for rule in walk.rules("POST"):
        is_read = bool(walk.names(rule))
        for body, content_type in walk.some(BODIES, 8 if is_read else 1):
            walk.ask(rule, "POST", data=body, environ_overrides={"CONTENT_TYPE": content_type})
        for length in walk.some(LENGTHS, 5 if is_read else 1):
            wrong = {"CONTENT_LENGTH": length, "CONTENT_TYPE": FORM}
            walk.ask(rule, "POST", data="email=x&login=x", environ_overrides=wrong)
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_TYPE": FORM}
        walk.ask(rule, "POST", data="email=x&login=x", environ_overrides=chunked)


@by(stranger, member, reaches_database=False)
def test_a_body_that_is_too_large_is_refused_by_every_form(app, walk):
    app.config["WTF_CSRF_ENABLED"] = True  # the check reads every form
    large = "email=" + "x" * 65_536
    for rule in walk.rules("POST"):
        if rule.endpoint != "dev.mock_provider_token":
            assert walk.ask(rule, "POST", data=large, content_type=FORM).status_code == 413, rule
            assert walk.ask(rule, "POST", data={"email": large}, content_type="multipart/form-data").status_code == 413


@by(member, marks=pytest.mark.extended, reaches_database=False)
def test_every_method_that_a_route_does_not_accept(walk):
    for rule in our_rules(walk.app):
        for method in walk.some(["TRACE", "PROPFIND", "CONNECT", "PUT", "X" * 1000, "G\0T", ""], 3):
            answer = walk.ask(rule, method)
            assert answer.status_code == 405, (method, rule)
            assert set(answer.headers["Allow"].split(", ")) >= rule.methods & {"GET"}, rule


@pytest.mark.extended
def test_every_cookie(app, client, ada):
    client.log_in(ada)
    real = client.get_cookie("session").value
    ours = app.session_interface.get_signing_serializer(app)
    another = URLSafeTimedSerializer("another key, which is long enough", salt="cookie-session")
    cookies = [
        *STRANGEST, *STRANGE, "\1", '"\\000"', '"', ";", ",", f"{real}x", real[:-1], f".{real}", "." + "A" * 8000,
    ]  # fmt: skip
    cookies += [another.dumps({"_user_id": "1"}), ours.dumps({"_user_id": "x" * 43})]
    walk, browser = Walk(app, stranger), app.test_client(use_cookies=False)
    for rule in our_rules(app):
        is_any = rule.endpoint in {"main.index", "main.account", "auth.login"}
        for value in cookies if is_any else walk.some(cookies, 3):
            for sent in (
                f"session={value}; device={value}; session={value}; {value}; ={value}",
                f"device={value}; session={real}",
            ):
                walk.client = browser
                method = "GET" if "GET" in rule.methods else "POST"
                walk.ask(rule, method, address=fill(rule, "x"), environ_overrides={"HTTP_COOKIE": raw(sent)})


HEADERS = ["ACCEPT", "ACCEPT_CHARSET", "ACCEPT_ENCODING", "ACCEPT_LANGUAGE", "AUTHORIZATION", "CACHE_CONTROL", "EXPECT"]
HEADERS += ["FORWARDED", "IF_MATCH", "IF_MODIFIED_SINCE", "IF_NONE_MATCH", "IF_RANGE", "IF_UNMODIFIED_SINCE", "ORIGIN"]
HEADERS += ["PURPOSE", "RANGE", "REFERER", "SEC_PURPOSE", "USER_AGENT", "X_CSRFTOKEN", "X_FORWARDED_FOR"]
HEADERS += ["X_FORWARDED_PORT", "X_FORWARDED_PREFIX", "X_REAL_IP", "X_REQUEST_ID", "X_HTTP_METHOD_OVERRIDE"]
VALUES = [
    "", " ", "\0", "\x1b[31m", "\x85", "é", "\xff\xfe", "x" * 10_240, "-1", "9" * 5000, "٣", "{}", "*", '"',
    'W/"', ",,;;==", "bytes=9-1", "bytes=-" + "9" * 400, "bytes=0-0,1-1,-1", "bytes=\xb2-", "de;q=x,en;q=1e999",
    "text/html;q=\0,*/*;q=-1", "[::1", "[::1]:x",
    "::ffff:192.0.2.1", "192.0.2.1:99999", "Basic \xff", "Bearer", "Digest a=,b", "http://[bad",
    "Thu, 99 Foo 99999 99:99:99",
]  # fmt: skip


@pytest.mark.parametrize("proxies", [0, 1])
@by(member, marks=pytest.mark.extended)
def test_every_header(walk):
    """Each route gets many at once; over all routes, each header has each value."""
    shift = count()
    for rule in our_rules(walk.app):
        for _ in range(2):
            values = cycle(VALUES[next(shift) % len(VALUES) :] + VALUES)
            sent = {f"HTTP_{name}": raw(value) for name, value in zip(HEADERS, values, strict=False)}
            walk.ask(rule, "GET" if "GET" in rule.methods else "POST", environ_overrides=sent)


@pytest.mark.parametrize("name", ["HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO", "REMOTE_ADDR"])
@pytest.mark.parametrize("proxies", [1])
def test_invalid_hosts_and_client_addresses(app, client, name):
    app.testing = False
    for value in [*VALUES, "localhost:99999", "localhost:x", "localhost\0", "local host", "LOCALHOST.", "a@localhost"]:
        for address in ("/", "/account", "/nowhere", "/auth/login", "/healthz"):
            strange = {name: raw(value)}
            assert client.get(address, environ_overrides=strange).status_code < 500, value
            answer = client.post(address, environ_overrides=strange, data={"login": "ada", "password": "x"})
            assert answer.status_code < 500, value
            assert "evil" not in (answer.location or "")


# Names


@pytest.mark.parametrize(("field", "names"), [("email", NO_ADDRESSES), ("username", NO_USERNAMES)])
def test_an_invalid_username_creates_no_account(client, field, names):
    form = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
    for name in names:
        assert register(client, form | {field: name}).status_code == 422, ascii(name)
    assert db.session.scalar(select(func.count()).select_from(User)) == 0


@on_sqlite
@pytest.mark.parametrize(
    ("spelling", "other", "is_same"),
    [*((*pair, True) for pair in SAME_ADDRESSES), *((*pair, False) for pair in OTHER_ADDRESSES)],
)
def test_two_spellings_of_an_email_address(client, another_client, spelling, other, is_same):
    form = {"email": spelling, "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
    assert register(client, form).status_code == 302
    answer = register(another_client, form | {"email": other, "username": "another"})
    assert answer.status_code == (422 if is_same else 302)
    assert (User.find(other) == User.find(spelling)) is is_same


# The walk itself


BUGS = {
    "a number in a form": ("/bug", "POST", lambda: str(int(request.form.get("n", "1")))),
    "a number in a query": ("/bug", "GET", lambda: str(int(request.args.get("n", "1")))),
    "a part of an address": ("/bug/<x>", "GET", lambda x: str(x.encode("ascii"))),
    "a way outside": ("/bug", "GET", lambda: ("", 302, {"Location": request.args.get("to", "/")})),
    "text as HTML": ("/bug", "POST", lambda: f"<p>{request.form.get('name')}</p>"),
    "a statement": ("/bug", "POST", lambda: str(db.session.scalar(text("SELECT :n"), {"n": request.form.get("n")}))),
}


@on_sqlite
@pytest.mark.parametrize("bug", BUGS)
def test_the_walk_finds_a_bug(own_app, app, bug):
    address, method, view = BUGS[bug]
    app.add_url_rule(address, "bug", view, methods=[method])
    walk = Walk(app, stranger)
    walk.rules = lambda method: [rule for rule in app.url_map.iter_rules("bug") if method in rule.methods]
    walk.begin()
    with pytest.raises(AssertionError, match="/bug"):
        _walk_all(walk, method)


def _walk_all(walk, method):
    test_every_field_of_every_form(walk)
    test_every_query_parameter(walk)
    for rule in walk.rules(method):
        for value in STRANGE:
            walk.ask(rule, address=fill(rule, value))


def register(client, form):
    return client.post("/auth/register", data=encoded(form), content_type=FORM)
