"""A table of breaks, each made for real, with what `flask doctor` says of it.

The site runs behind a proxy with TLS; `here` is the application of the command, `server` the one that the proxy asks.
"""

import copy
import resource
import secrets
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.request import build_opener, install_opener

import dns.resolver
import pytest
from sqlalchemy import delete, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError
from support import captcha, pwned
from support.browsing import served
from support.databases import patient
from support.dns_server import DnsServer
from support.issuer import Issuer
from support.mail_server import HOST, Authority, MailServer, tls
from support.postgresql import on_postgresql
from support.proxy import Proxy

from app import clock, create_app, extensions
from app.accounts import cleanup
from app.database import is_duplicate, violated_constraint
from app.doctor import CHECKS, Severity, database_errors, examine, installation
from app.email import delivery
from app.extensions import db
from app.models import Job, OutboxEmail, User
from app.models.outbox_email import Status
from app.web.hosts import TrustedProxies

pytestmark = pytest.mark.xdist_group("doctor")

SECRET_KEY = secrets.token_hex()
PROXIES, DNS = "PUBLIC_URL, TLS and proxies", "SPF, DKIM and DMARC"
SPF, DMARC, KEY = ["v=spf1 mx -all"], ["v=DMARC1; p=none"], ["v=DKIM1; p=abc"]
RECORDS = {"garden.example": SPF, "_dmarc.garden.example": DMARC, "2026._domainkey.garden.example": KEY}


class Site:
    """Everything that a site needs. A break changes a part of it, and `after` puts it back."""

    def __init__(self, folder, database, after):
        self.folder, self.url = folder, database.make(folder)
        self.authority, self.database = Authority(folder), database
        after.enter_context(environment(SSL_CERT_FILE=str(self.authority.file)))
        install_opener(build_opener())  # since Python 3.12 an opener keeps the authorities that it was made with
        after.callback(install_opener, None)
        self.captcha, self.passwords, self.issuer, self.dns = captcha.Service(), pwned.Range(), Issuer(), DnsServer()
        self.captcha.says = {"success": False, "error-codes": ["missing-input-response"]}
        self.dns.records = dict(RECORDS)
        self.smtp = self.mail_server("STARTTLS")
        for part in (self.captcha, self.passwords, self.issuer, self.dns, self.smtp):
            after.callback(part.stop)
        self.certificate = self.authority.certify("localhost")
        self.proxy = Proxy(self.certificate)
        after.callback(self.proxy.stop)
        self.server, self.here = self._app(self.proxy.url), self._app(self.proxy.url)
        self.proxy.behind = after.enter_context(served(self.server))
        self.server.config["PUBLIC_URL"] = self.proxy.url

    def _app(self, public_url):
        settings = self.smtp.settings | patient(self.url) | {
            "SECRET_KEY": SECRET_KEY,
            "PUBLIC_URL": public_url,
            "TRUSTED_PROXIES": 1,
            "MAIL_SENDER": "Garden <mail@garden.example>",
            "MAIL_DELIVERY": "worker",
            "PASSWORD_HASH": "pbkdf2:sha256:1",
            "VERIFY_NEW_DEVICES": True,
            "CAPTCHA": "recaptcha",
            "RECAPTCHA_PUBLIC_KEY": "one",
            "RECAPTCHA_PRIVATE_KEY": "the other",
            "RECAPTCHA_VERIFY_SERVER": self.captcha.url,
            "PWNED_PASSWORDS_URL": self.passwords.url,
        }  # fmt: skip
        app = create_app("production", **settings)
        app.config["OIDC_PROVIDERS"] = {"acme": self.issuer.provider()}  # not https: production would not start with it
        return app

    def mail_server(self, mode, days=30):
        certificates = {"good": tls(self.authority.certify(HOST, days)), "for another host": self._of_another()}
        return MailServer(mode, certificates)

    def _of_another(self):
        return tls(self.authority.certify("x"))

    def deliver_through(self, mode, days=30, **settings):
        server = self.mail_server(mode, days)
        self.after.callback(server.stop)
        self.here.config.update(server.settings | {"MAIL_USE_TLS": True} | settings)
        extensions.mail.init_app(self.here)

    def trust(self, count, networks=("127.0.0.0/8", "::1")):
        """Let both have these settings of proxies."""
        outer = self.server.wsgi_app
        inner = outer.wsgi_app
        outer.wsgi_app = TrustedProxies(inner.wsgi_app, count, networks)
        self.after.callback(setattr, outer, "wsgi_app", inner)
        self.here.config.update(TRUSTED_PROXIES=count, TRUSTED_PROXY_NETWORKS=networks)

    @contextmanager
    def healthy(self, monkeypatch):
        """Enter the application's context; afterwards, put everything back."""
        monkeypatch.setattr(dns.resolver, "default_resolver", self.dns.resolver)
        parts = [vars(part) for part in (self.proxy, self.issuer, self.captcha, self.passwords, self.dns)]
        kept = [dict(part) for part in parts]
        configs = [(app.config, copy.deepcopy(dict(app.config))) for app in (self.here, self.server)]
        self.monkeypatch = monkeypatch
        with self.here.app_context():
            with ExitStack() as self.after:
                yield self
                db.session.rollback()
            for model in (OutboxEmail, Job):
                db.session.execute(delete(model))
            db.session.commit()
            for part, before in zip(parts, kept, strict=True):
                part.update(before)
            self.dns.records = dict(RECORDS)
            self.proxy.certify(self.certificate)
            for config, before in configs:
                config.update(before)
            extensions.mail.init_app(self.here)
            self.here.extensions.pop("oidc", None)


@contextmanager
def environment(**variables):
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def shared(databases, tmp_path_factory):
    with ExitStack() as after:
        site = Site(tmp_path_factory.mktemp("doctor"), databases("sqlite"), after)
        yield site
        with site.here.app_context():
            for engine in db.engines.values():
                engine.dispose()


@pytest.fixture
def site(shared, monkeypatch):
    with shared.healthy(monkeypatch):
        yield shared


# Settings


def no_rate_limits(site):
    site.here.config["RATELIMIT_ENABLED"] = False


def no_delivery(site):
    site.here.config["MAIL_DELIVERY"] = "off"


def mistyped_setting(site):
    site.monkeypatch.setenv("TRUSTED_PROXY", "1")


def name_of_an_earlier_release(site):
    site.monkeypatch.setenv("HIDE_ACCOUNTS", "1")


def processes_in_words(site):
    site.monkeypatch.setenv("WEB_CONCURRENCY", "two")


def env_file_for_everybody(site):
    site.monkeypatch.setattr(installation, "PROJECT", site.folder)
    (site.folder / ".env").write_text("SECRET_KEY=...")
    (site.folder / ".env").chmod(0o644)
    site.after.callback((site.folder / ".env").unlink)


# The database and the disks


def database_behind_the_code(site):
    version = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    stamp(version="0001")
    site.after.callback(stamp, version)


def stamp(version):
    db.session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    db.session.commit()


def database_file_moved(site):
    file = Path(db.engine.url.database)
    db.session.execute(text("SELECT 1"))  # it is in use
    file.rename(file.with_name("moved.db"))
    site.after.callback(file.with_name("moved.db").rename, file)


def no_migrations(site):
    rename("alembic_version", "gone")
    site.after.callback(rename, "gone", "alembic_version")


def rename(old, new):
    db.session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
    db.session.commit()


def no_byte_can_be_written(site):
    """As on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    site.after.callback(resource.setrlimit, resource.RLIMIT_FSIZE, limits)


# The clock, emails and jobs


def clock_ahead(site):
    now = clock.now
    site.monkeypatch.setattr("app.clock.now", lambda: now() + timedelta(seconds=31))


def clock_behind(site):
    now = clock.now
    site.monkeypatch.setattr("app.clock.now", lambda: now() - timedelta(minutes=2))


def no_worker(site):
    db.session.add(an_email(created_at=clock.now() - timedelta(minutes=6)))
    db.session.commit()


def thousands_of_failed_emails(site):
    answer = "550 5.7.1 relaying denied"
    db.session.add_all([an_email(status=Status.FAILED, error=answer, done_at=clock.now()) for _ in range(2000)])
    db.session.commit()


def an_email(**values):
    return OutboxEmail(name="confirm", recipient="ada@example.com", message_id=secrets.token_hex(), **values)


def failed_job(site):
    cleanup.run_now()
    db.session.get(Job, "devices").failed_at = clock.now()
    db.session.get(Job, "devices").error = "OperationalError: disk I/O error"
    db.session.commit()


def killed_job(site):
    cleanup.run_now()
    db.session.get(Job, "devices").finished_at = clock.now() - timedelta(days=3)
    db.session.commit()


# The way through the proxies


def too_few_trusted_proxies(site):
    site.trust(0)


def too_many_trusted_proxies(site):
    site.trust(2)


def proxy_in_another_network(site):
    site.trust(1, ["10.0.0.0/8"])


def no_x_forwarded_proto(site):
    site.proxy.proto = None


def no_host(site):
    site.proxy.sends_host = False


def another_secret_key(site):
    site.here.config["SECRET_KEY"] = secrets.token_hex()


def another_path(site):
    site.server.config["PUBLIC_URL"] += "/accounts"


def path_that_only_this_command_knows(site):
    site.here.config["PUBLIC_URL"] += "/accounts"


def another_program(site):
    site.proxy.answers = (200, [("Content-Type", "text/html")], b"<h1>Welcome to nginx</h1>")


def redirecting_proxy(site):
    site.proxy.answers = (301, [("Location", f"{site.proxy.url}/")], b"")


def proxy_without_application(site):
    site.proxy.answers = (502, [], b"Bad Gateway")


def cookie_changed_by_a_proxy(site):
    site.proxy.changes = lambda name, value: value.replace("; Secure", "")


def header_removed_by_a_proxy(site):
    site.proxy.changes = lambda name, value: None if name == "Strict-Transport-Security" else value


def certificate_of_13_days(site):
    site.proxy.certify(site.authority.certify("localhost", days=13))


def expired_certificate(site):
    site.proxy.certify(site.authority.certify("localhost", days=-0.5))


def certificate_for_another_name(site):
    site.proxy.certify(site.authority.certify("another.example"))


def nobody_listens(site):
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        site.here.config["PUBLIC_URL"] = f"https://localhost:{unused.getsockname()[1]}"


def gunicorn_in_another_folder(site):
    site.monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/26.2.0")


# The mail server


def mail_server_away(site):
    site.deliver_through("refuses connections")


def mail_server_hangs(site):
    site.monkeypatch.setattr(delivery, "TIMEOUT", 0.3)
    site.deliver_through("hangs")


def busy_mail_server(site):
    site.deliver_through("421 at connect")


def mail_certificate_for_another_name(site):
    site.deliver_through("STARTTLS, another host")


def mail_certificate_of_13_days(site):
    site.deliver_through("STARTTLS", days=13)


def no_starttls(site):
    site.deliver_through("STARTTLS not offered")


def wrong_mail_password(site):
    site.deliver_through("STARTTLS", MAIL_PASSWORD="wrong")


def no_mail_password(site):
    site.deliver_through("STARTTLS", MAIL_USERNAME="")


# DNS


def no_spf(site):
    site.dns.records["garden.example"] = ["another-verification=1"]


def unknown_domain(site):
    site.dns.records = {}


def two_spf_records(site):
    site.dns.records["garden.example"] = [*SPF, "v=spf1 include:mail.example ~all"]


def no_dkim(site):
    del site.dns.records["2026._domainkey.garden.example"]


def no_dmarc(site):
    del site.dns.records["_dmarc.garden.example"]


# Other services


def wrong_issuer(site):
    site.issuer.metadata = {"issuer": "https://evil.example"}


def wrong_client_secret(site):
    site.here.config["OIDC_PROVIDERS"] = {"acme": replace(site.issuer.provider(), client_secret="another")}


def unknown_client_authentication(site):
    site.issuer.auth_methods = []
    site.issuer.metadata = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}


def unknown_signatures(site):
    site.issuer.metadata = {"id_token_signing_alg_values_supported": ["HS256", "none"]}


def wrong_captcha_secret(site):
    site.captcha.says = {"success": False, "error-codes": ["invalid-input-secret"]}


def captcha_service_fails(site):
    site.captcha.says = captcha.broken


def pwned_passwords_fail(site):
    site.passwords.fails = pwned.busy


def pwned_passwords_are_another_page(site):
    site.passwords.fails = pwned.page


FAST, LATER = Severity.PROBLEM, Severity.RECOMMENDATION
REISSUE = "Renew it, and find out why this does not happen automatically."
TABLE = [  # the break, the check that finds it, its cause, its remedy
    (no_rate_limits, "settings", "RATELIMIT_ENABLED is 0", "Remove it."),
    (no_delivery, "settings", "MAIL_DELIVERY is off", "Set thread or worker."),
    (mistyped_setting, "settings", "TRUSTED_PROXY is not a setting", "Did you mean TRUSTED_PROXIES?"),
    (name_of_an_earlier_release, "settings", "HIDE_ACCOUNTS is not a setting", "Did you mean PREVENT_ENUMERATION?"),
    (processes_in_words, "settings", "WEB_CONCURRENCY is not a number", "Set it to one, such as 2."),
    (env_file_for_everybody, "settings", "Every user of this machine can read the secrets", "Run: chmod o= "),
    (database_behind_the_code, "database", "The database is at migration 0001", "Run: flask db upgrade"),
    (database_file_moved, "database", "There is no file", "put it back and restart the application"),
    (no_migrations, "database", "but db.create_all() made them", "Run: flask db stamp head"),
    (no_byte_can_be_written, "database", "can't be written to: File too large", "Make room on its disk"),
    (no_byte_can_be_written, "disks", "can't be written to: File too large", "Make room on its disk"),
    (clock_ahead, "clock", "seconds ahead of that of acme", "Let a time service (NTP) set both."),
    (clock_behind, "clock", "seconds behind that of acme", "Let a time service (NTP) set both."),
    (no_worker, "emails", "1 emails wait, the oldest for 0:06:0", "Is flask mail worker running?"),
    (thousands_of_failed_emails, "emails", "2000 of 2000 emails failed within a week", "Log in (MAIL_USERNAME"),
    (failed_job, "cleanup", "devices failed on", "To try again: flask jobs run devices"),
    (killed_job, "cleanup", "devices has not finished since", "Is flask mail worker running?"),
    (too_few_trusted_proxies, PROXIES, "TRUSTED_PROXIES is 0, but there are 1", "Set it to 1."),
    (too_few_trusted_proxies, PROXIES, "redirects to itself", "Set TRUSTED_PROXIES to the number of proxies"),
    (too_many_trusted_proxies, PROXIES, "TRUSTED_PROXIES is 2, but 1 wrote", "Set it to 1."),
    (proxy_in_another_network, PROXIES, "TRUSTED_PROXY_NETWORKS has no network with", "Add it."),
    (no_x_forwarded_proto, PROXIES, "Requests don't arrive as https.", "Let the proxy set X-Forwarded-Proto"),
    (no_host, PROXIES, "Requests arrive for 'localhost:", "Let the proxy forward the browser's Host header."),
    (another_secret_key, PROXIES, "does not know the signature of this command", "Give both the same SECRET_KEY"),
    (another_path, PROXIES, "does not know the signature of this", "Give both the same SECRET_KEY and PUBLIC_URL"),
    (path_that_only_this_command_knows, PROXIES, "/accounts/healthz does not exist", "Is PUBLIC_URL right"),
    (another_program, PROXIES, "does not answer like this application", "Is the address right"),
    (redirecting_proxy, PROXIES, "redirects to itself", "let only the first proxy redirect"),
    (proxy_without_application, PROXIES, "like this application: HTTP Error 502", "Is the address right"),
    (cookie_changed_by_a_proxy, PROXIES, "The session cookie is changed by a proxy.", "Let it leave Set-Cookie alone."),
    (header_removed_by_a_proxy, PROXIES, "Strict-Transport-Security is removed", "Let it leave headers alone."),
    (certificate_of_13_days, PROXIES, "The certificate of https://localhost:", REISSUE),
    (expired_certificate, PROXIES, "certificate has expired", "Renew"),
    (certificate_for_another_name, PROXIES, "certificate is not valid for 'localhost'", "must be for this name"),
    (nobody_listens, PROXIES, "Connection refused", "Is the address right, and can this machine reach it?"),
    (gunicorn_in_another_folder, PROXIES, "gunicorn runs without gunicorn.conf.py", "Start it with: gunicorn -c /"),
    (mail_server_away, "mail server", "No mail server runs at this address and port.", "Are MAIL_SERVER and MAIL_PORT"),
    (mail_server_hangs, "mail server", "The mail server doesn't answer.", "Many hosts block ports"),
    (busy_mail_server, "mail server", "421 4.3.2 too many connections", "retried automatically"),
    (mail_certificate_for_another_name, "mail server", "certificate is for another name.", "Set MAIL_SERVER to a name"),
    (mail_certificate_of_13_days, "mail server", "The certificate of 127.0.0.1:", REISSUE),
    (no_starttls, "mail server", "STARTTLS", "Set MAIL_PORT=587 and MAIL_USE_TLS=1"),
    (wrong_mail_password, "mail server", "refuses MAIL_USERNAME or MAIL_PASSWORD.", "Are both right?"),
    (no_mail_password, "mail server", "requires a login first.", "Set MAIL_USERNAME and MAIL_PASSWORD."),
    (no_spf, DNS, "garden.example has no SPF record", "as your mail provider shows it: v=spf1"),
    (unknown_domain, DNS, "DNS has no garden.example", "Is it spelled correctly?"),
    (two_spf_records, DNS, "garden.example has 2 SPF records", "Merge them into one."),
    (no_dkim, DNS, "garden.example has no DKIM key", "Turn on DKIM at your mail provider"),
    (no_dmarc, DNS, "garden.example has no DMARC record", "_dmarc.garden.example, to begin with: v=DMARC1; p=none"),
    (wrong_issuer, "providers", "names another issuer, 'https://evil.example'", "Is OIDC_ACME_ISSUER exactly right"),
    (wrong_client_secret, "providers", "refuses this application: invalid_client", "Are OIDC_ACME_CLIENT_ID and"),
    (unknown_client_authentication, "providers", "refuses this application", "supports the methods private_key_jwt"),
    (unknown_signatures, "providers", "signs with algorithms that are not", "Let it sign ID tokens with RS256."),
    (wrong_captcha_secret, "CAPTCHA", "does not know RECAPTCHA_PRIVATE_KEY", "Is it the secret one of the two keys?"),
    (captcha_service_fails, "CAPTCHA", "RECAPTCHA_VERIFY_SERVER does not answer correctly", "Is the address right"),
    (pwned_passwords_fail, "compromised passwords", "Too Many Requests", "Is the address right"),
    (pwned_passwords_are_another_page, "compromised passwords", "malformed", "Is the address right"),
]  # fmt: skip
RECOMMENDATIONS = {no_spf, unknown_domain, no_dkim, no_dmarc}


@pytest.mark.parametrize(
    ("break_it", "check", "cause", "remedy"), TABLE, ids=[f"{row[0].__name__}-{row[1].split()[0]}" for row in TABLE]
)
def test_doctor_names_cause_and_remedy_of_a_break(site, break_it, check, cause, remedy):
    break_it(site)
    found = examine(check)
    db.session.rollback()
    site.after.close()  # before pytest writes into a file
    matching = [finding for finding in found if cause in finding.cause and remedy in finding.remedy]
    assert matching, found
    assert matching[0].check == check
    assert (matching[0].severity is Severity.RECOMMENDATION) == (break_it in RECOMMENDATIONS)


def test_the_site_is_well_before_and_after_each_break(site):
    found = [finding for name in CHECKS for finding in examine(name)]
    assert {finding.check for finding in found if finding.severity is Severity.SKIPPED} == {"sequences", "Redis"}
    assert [finding for finding in found if finding.severity is not Severity.SKIPPED] == []
    assert len({row[0] for row in TABLE}) >= 50


@pytest.mark.parametrize("domain", ["localhost", "mail.local"])
def test_records_of_private_domains_are_not_looked_up(site, domain):
    site.here.config.update(MAIL_DEFAULT_SENDER=f"mail@{domain}", EMAIL_SPECIAL_DOMAINS=("local",))
    assert [finding.severity for finding in examine(DNS)] == [Severity.SKIPPED]


def test_a_domain_below_one_with_a_dmarc_record_needs_none(site):
    records = {"mail.garden.example": SPF, "selector1._domainkey.mail.garden.example": KEY}
    site.dns.records |= records
    site.here.config["MAIL_DEFAULT_SENDER"] = "no-reply@mail.garden.example"
    assert examine(DNS) == []


def test_records_are_skipped_while_dns_does_not_answer(site, monkeypatch):
    monkeypatch.setattr("app.doctor.sender_domain.TIMEOUT", 0.2)
    site.dns.answers = False
    (finding,) = examine(DNS)
    assert (finding.severity, finding.cause) == (Severity.SKIPPED, "DNS does not answer: LifetimeTimeout")


# PostgreSQL


@pytest.fixture
def writable_again(app):
    yield
    db.session.rollback()
    db.session.execute(text("SET TRANSACTION READ WRITE"))
    change_role("RESET ALL")


def change_role(how):
    db.session.execute(text(f"ALTER ROLE CURRENT_USER {how}"))
    db.session.commit()
    for engine in db.engines.values():
        engine.dispose()  # the change is for new connections


def read_only(monkeypatch):
    change_role("SET default_transaction_read_only = on")


def sequence_behind(monkeypatch):
    db.session.execute(text("SELECT setval('users_id_seq', 1, false)"))
    db.session.commit()


def many_processes(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "9")


POSTGRESQL_TABLE = [
    (read_only, "database", "PostgreSQL is read-only", "Name the primary in DATABASE_URL"),
    (sequence_behind, "sequences", "because sequences are behind, those of users", "Run: flask fix-sequences"),
    (many_processes, "database", "9 processes may open 405 connections, but PostgreSQL accepts 100.", "use PgBouncer"),
]


@pytest.mark.extended
@on_postgresql
@pytest.mark.usefixtures("ada", "writable_again")
@pytest.mark.parametrize(("break_it", "check", "cause", "remedy"), POSTGRESQL_TABLE)
def test_doctor_names_cause_and_remedy_of_a_break_of_postgresql(monkeypatch, break_it, check, cause, remedy):
    assert examine(check) == []
    break_it(monkeypatch)
    (finding,) = examine(check)
    assert (cause in finding.cause, remedy in finding.remedy) == (True, True), finding


@pytest.mark.extended
@on_postgresql
def test_fix_sequences_sets_those_that_are_behind(app, flask, ada):
    sequence_behind(None)
    assert flask("fix-sequences").stdout == "The next row of users gets the id 2.\n"
    assert flask("fix-sequences").stdout == ""
    assert examine("sequences") == []


@pytest.mark.extended
@on_postgresql
def test_an_id_that_postgresql_gives_twice_is_no_name_that_is_taken(app, ada):
    sequence_behind(None)
    db.session.add(User(email="eve@example.com", username="eve"))
    with pytest.raises(IntegrityError, match="pk_users") as refused:
        db.session.flush()
    assert not is_duplicate(refused.value)
    assert violated_constraint(refused.value).endswith("The sequence of its ids is behind: run flask fix-sequences")
    db.session.rollback()
    db.session.add(User(email="eve@example.com", username="ada"))
    with pytest.raises(IntegrityError, match="username_key") as refused:
        db.session.flush()
    assert is_duplicate(refused.value)


def test_a_file_of_sqlite_that_can_not_be_opened_has_its_remedy(tmp_path):
    """As in a folder that this user cannot enter. Not even root can open a file with such a long name."""
    elsewhere = create_app("testing", SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/{'long' * 100}.db")
    with elsewhere.app_context():
        (finding,) = examine("database")
        assert "can't be opened: File name too long." in finding.cause
        assert finding.remedy == "Let this user enter its folder, or correct DATABASE_URL."
        assert examine("disks") == []


FULL = "PRAGMA max_page_count=1; CREATE TABLE garden AS SELECT zeroblob(9000000)"
READ_ONLY = "PRAGMA query_only=1; CREATE TABLE garden (name)"


@pytest.mark.parametrize(
    ("script", "cause", "remedy"),
    [
        (FULL, "Database error: database or disk is full.", "Make room on the disk of the database."),
        (READ_ONLY, "Database error: attempt to write a readonly database.", "Let this user write to its file"),
        ("SELECT * FROM garden", "Database error: no such table: garden.", "Run: flask db upgrade"),
        ("garden", 'Database error: near "garden": syntax error.', "Is DATABASE_URL right, and has `flask db upgrade`"),
    ],
)
def test_errors_of_sqlite_have_their_remedies(site, script, cause, remedy):
    before, _, failing = script.rpartition("; ")
    db.session.execute(text(before or "SELECT 1"))
    with pytest.raises(DatabaseError) as error:
        db.session.execute(text(failing))
    db.session().invalidate()  # the connection, with its pragmas
    found = database_errors.explain(error.value)
    assert (found.cause, remedy in found.remedy) == (cause, True), found


@pytest.mark.extended
@on_postgresql
@pytest.mark.parametrize(
    ("changes", "cause", "remedy"),
    [
        ({"username": "gardener"}, 'role "gardener" does not exist', "Create the role, or correct the one in DATABASE"),
        ({"database": "garden"}, 'database "garden" does not exist', "Create the database, or correct its name"),
        ({"host": "127.0.0.1", "port": 1, "query": {}}, "Connection refused.", "Is PostgreSQL running, and can"),
        ({"host": "garden.invalid", "query": {}}, "garden.invalid", "can this machine reach the host and the port"),
    ],
)
def test_a_database_url_that_leads_nowhere_has_its_remedy(app, client, changes, cause, remedy):
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).set(**changes)
    elsewhere = create_app("testing", SQLALCHEMY_DATABASE_URI=url.render_as_string(hide_password=False))
    with elsewhere.app_context():
        (finding,) = examine("database")
    assert (cause in finding.cause, remedy in finding.remedy) == (True, True), finding


@pytest.mark.extended
@on_postgresql
@pytest.mark.parametrize(
    ("script", "remedy"),
    [
        ("SET TRANSACTION READ ONLY; CREATE TABLE garden ()", "Name the primary in DATABASE_URL"),
        ("SET LOCAL ROLE pg_monitor; SELECT * FROM users", "Give the role in DATABASE_URL this right (GRANT)"),
        ("SELECT * FROM garden", "Run: flask db upgrade"),
    ],
)
def test_errors_of_postgresql_have_their_remedies(app, script, remedy):
    before, _, failing = script.rpartition("; ")
    db.session.execute(text(before or "SELECT 1"))
    with pytest.raises(DatabaseError) as error:
        db.session.execute(text(failing))
    db.session.rollback()
    assert remedy in database_errors.explain(error.value).remedy
    assert "Is PostgreSQL running" not in database_errors.explain(ArgumentError("a mistake")).remedy


def test_an_env_file_without_secrets_may_be_readable(site):
    env_file_for_everybody(site)
    assert examine("settings") != []
    (site.folder / ".env").write_text("APP_NAME=Garden\n#SECRET_KEY=\n")
    assert examine("settings") == []
