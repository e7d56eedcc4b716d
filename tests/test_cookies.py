"""Cookies of several instances on one host: browsers send a host's cookies to all of its ports and paths."""

import re
from http.cookiejar import CookieJar
from http.cookies import SimpleCookie
from urllib.parse import urlsplit
from urllib.request import Request

import pytest
from support.clients import PASSWORD, Browser

from app import create_app
from app.dev import access
from app.extensions import db
from app.models import User
from settings.derived import own_cookie_name

NEIGHBOURS = [
    ("http://localhost:5000", "http://localhost:5001"), ("http://localhost:5000", "http://localhost"),
    ("http://localhost", "http://localhost/shop"), ("http://localhost/shop", "http://localhost/garden"),
    ("http://localhost/shop", "http://localhost/shop/garden"),
    ("http://localhost/shop.garden", "http://localhost/shop/garden"),
    ("http://localhost:5000/shop", "http://localhost:5001/shop"),
]  # fmt: skip


class Answer:
    """A response as http.cookiejar reads it."""

    def __init__(self, headers):
        self.headers = headers

    def info(self):
        return self

    def get_all(self, name, default=()):
        return self.headers.getlist(name) or default


class Jar:
    """A browser with one cookie jar (http.cookiejar, RFC 6265) for all applications that it visits."""

    def __init__(self):
        self.cookies = CookieJar()

    def ask(self, app, path, **form):
        url = app.config["PUBLIC_URL"].replace("//localhost", "//localhost.local", 1) + path
        request = Request(url)
        self.cookies.add_cookie_header(request)
        headers = {"Cookie": request.get_header("Cookie", "")}
        browser = app.test_client(use_cookies=False)
        answer = browser.open(path, method="POST" if form else "GET", data=form or None, headers=headers)
        self.cookies.extract_cookies(Answer(answer.headers), request)
        return answer

    def log_in(self, app):
        return self.ask(app, "/auth/login", login="ada", password=PASSWORD)

    def is_logged_in(self, app):
        return self.ask(app, "/account").status_code == 200

    def names(self):
        return [cookie.name for cookie in self.cookies]


@pytest.fixture
def instance(tmp_path):
    """Create an instance at a PUBLIC_URL, with an account for ada."""
    apps = []

    def make(public_url, name="testing", **settings):
        file = tmp_path / f"{len(apps)}.db"
        settings |= {"PUBLIC_URL": public_url, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{file}"}
        app = create_app(name, **settings, PASSWORD_HASH="pbkdf2:sha256:1", MAIL_DELIVERY="off", WTF_CSRF_ENABLED=False)
        app.test_client_class = Browser
        apps.append(app)
        with app.app_context():
            db.create_all()
            db.session.add(User(email="ada@example.com", username="ada", password=PASSWORD, confirmed=True))
            db.session.commit()
        return app

    yield make
    for app in apps:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


@pytest.mark.parametrize("urls", NEIGHBOURS, ids=" ".join)
def test_two_instances_on_one_host_keep_separate_sessions_and_device_cookies(instance, urls):
    one, other = map(instance, urls)
    jar, devices = Jar(), set()
    for app in (one, other, one, other):
        jar.log_in(app)
        assert jar.is_logged_in(app)
        devices.add({cookie.name: cookie.value for cookie in jar.cookies}[one.config["DEVICE_COOKIE_NAME"]])
    assert len(devices) == 1
    assert jar.is_logged_in(one)
    assert len(jar.names()) == len(set(jar.names())) == 6, "a session, a device and a method for each"
    jar.ask(one, "/auth/logout", submit="y")
    assert not jar.is_logged_in(one)
    assert jar.is_logged_in(other)


@pytest.mark.parametrize("foreign", ["session", "device", "remember_token", "dev_5000"])
def test_cookies_of_other_programs_on_localhost_are_ignored(instance, foreign):
    app = instance("http://localhost:5000", "development")
    names = {app.config[f"{cookie}_COOKIE_NAME"] for cookie in ("SESSION", "DEVICE", "METHOD")}
    assert names == {"flasky-session-5000", "flasky-device-5000", "flasky-method-5000"}
    jar = Jar()
    jar.log_in(app)
    request = Request("http://localhost.local:8080/")
    theirs = app.response_class()
    theirs.set_cookie(foreign, "eyJ1c2VyIjoxfQ.of-another.program")
    jar.cookies.extract_cookies(Answer(theirs.headers), request)
    assert foreign in jar.names()
    assert jar.is_logged_in(app)


@pytest.mark.parametrize("path", ["", "/shop", "/shop/garden"])
def test_cookies_are_limited_to_the_path_of_the_instance(instance, path):
    app = instance(f"http://localhost:5000{path}", "development")
    sent = app.test_client().log_in(User(username="ada")).headers.getlist("Set-Cookie")
    link = app.test_client().get(f"/?token={app.extensions['dev_token']}").headers.getlist("Set-Cookie")
    morsels = [morsel for line in sent + link for morsel in SimpleCookie(line).values()]
    names = {app.config[f"{cookie}_COOKIE_NAME"] for cookie in ("SESSION", "DEVICE", "METHOD")}
    names.add(access.cookie_name(app))
    assert {morsel.key for morsel in morsels} == names
    assert {morsel["path"] for morsel in morsels} == {path or "/"}


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://example.com", ["__Host-session", "__Host-device", "__Host-method"]),
        ("https://example.com:443", ["__Host-session", "__Host-device", "__Host-method"]),
        ("https://example.com:8443", ["__Host-session-8443", "__Host-device-8443", "__Host-method-8443"]),
        ("https://example.com/shop", ["__Secure-session-shop", "__Secure-device-shop", "__Secure-method-shop"]),
        (
            "https://example.com:8443/a/b",
            ["__Secure-session-8443-a.b", "__Secure-device-8443-a.b", "__Secure-method-8443-a.b"],
        ),
    ],
)
def test_production_cookies_have_the_host_prefix(instance, url, names):
    settings = {"SECRET_KEY": "Xk1mQ9vzT7rW3pLc8sNd5fHj2gBy6uKe", "MAIL_SERVER": "127.0.0.1"}
    app = instance(url, "production", **settings)
    sent = app.test_client().log_in(User(username="ada")).headers.getlist("Set-Cookie")
    morsels = [morsel for line in sent for morsel in SimpleCookie(line).values()]
    assert sorted(morsel.key for morsel in morsels) == sorted(names)
    for morsel in morsels:
        assert morsel["secure"]
        assert morsel["httponly"]
        assert not morsel["domain"]
        assert morsel["path"] == urlsplit(url).path or "/"


@pytest.mark.parametrize("path", ["/é", "/a b", "/a;b=c", "/a,b", '/"a"', "/a%20b", "/~ada"])
def test_cookie_names_have_only_allowed_characters(path):
    assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", own_cookie_name("session", f"http://localhost:5000{path}"))
