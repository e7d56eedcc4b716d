"""No room on the disk: what would be written is refused and not reported as done, what is only read is shown.

The site's processes may write no byte more into any file (RLIMIT_FSIZE), their log included, and then they may again.
"""

import resource
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, update
from support.clients import PASSWORD, on_sqlite
from support.passwords import NEW
from support.serving import Browser, registration

from app import clock
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User, UserSession

pytestmark = [pytest.mark.extended, on_sqlite]


def test_a_full_disk_writes_nothing_and_reports_no_success(app, site, sink, ledger, ada):
    running = site(MAIL_DELIVERY="worker")
    reader, writer, newcomer = (Browser(running) for _ in range(3))
    assert {reader.log_in("ada").status, writer.log_in("ada").status} == {302}
    form = {"csrf_token": newcomer.get("/auth/register").token} | registration("eve")
    rename = {"csrf_token": writer.get("/auth/change-username").token, "username": "lovelace"}
    reset = {"csrf_token": newcomer.get("/auth/reset").token, "email": ada.email}
    an_hour_ago = clock.now() - timedelta(hours=1)  # so that it is to be noted that they were seen
    db.session.execute(update(UserSession).values(last_seen_at=an_hour_ago))
    db.session.commit()
    password = {"csrf_token": rename["csrf_token"], "old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
    before = [ledger.count(table) for table in (User, OutboxEmail, AuditEvent, UserSession)]
    log = running.log.stat().st_size

    with full_disk(running):
        for _ in range(2):
            refused = [
                newcomer.post("/auth/register", **form),
                newcomer.post("/auth/reset", **reset),
                newcomer.post("/auth/login", csrf_token=form["csrf_token"], login="ada", password=PASSWORD),
                writer.post("/auth/change-username", **rename),
                writer.post("/auth/change-password", **password),
            ]
            assert [answer.status for answer in refused] == [503] * 5
            assert all("Nothing was changed" in answer.text for answer in refused)
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
            pages = [reader.get(path) for path in ("/", "/account", "/auth/history", "/healthz")]
            assert [page.status for page in pages] == [200] * 4
            assert reader.get("/readyz").status == 503
            assert "ada" in pages[1].text
        assert [ledger.count(table) for table in (User, OutboxEmail, AuditEvent, UserSession)] == before
        assert running.log.stat().st_size == log, "or it was not full"
    assert integrity(app) == "ok"

    assert reader.get("/readyz").status == 200
    assert newcomer.post("/auth/register", **form).status == 302
    assert writer.post("/auth/change-username", **rename).status == 302
    assert writer.post("/auth/change-password", **password).status == 302
    assert writer.get("/account").status == 200
    assert reader.get("/account").status == 302, "the password was changed on another device"
    running.work()
    ledger.settled(sink)
    assert sorted(email.recipient for email in sink.received) == ["ada@example.com", "eve@example.com"]
    assert integrity(app) == "ok"


def test_an_unwritable_log_fails_no_request(site, sink, ledger, ada):
    running = site(web=False)
    running.log = Path("/dev/full")
    running.start()
    browser = Browser(running)
    assert [browser.log_in("ada", "wrong").status, browser.log_in("ada").status] == [422, 302]
    assert browser.get("/account").status == 200
    assert Browser(running).register("eve").status == 302
    ledger.settled(sink)
    assert [email.recipient for email in sink.received] == ["eve@example.com"]
    assert running.web.process.poll() is None


@contextmanager
def full_disk(site):
    """The processes of a site can write no byte more to any file meanwhile."""
    _limit(site, 0)
    try:
        yield
    finally:
        _limit(site, resource.RLIM_INFINITY)


def integrity(app):
    with closing(sqlite3.connect(make_url(app.config["SQLALCHEMY_DATABASE_URI"]).database)) as another:
        return another.execute("PRAGMA integrity_check").fetchone()[0]


def _limit(site, size):
    for process in site.web.processes():
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
