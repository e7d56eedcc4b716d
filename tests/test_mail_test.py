"""`flask mail test`, and the login to the mail server by OAuth (XOAUTH2)."""

import json
import re
from base64 import b64encode
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from support.clients import on_sqlite
from support.local_server import LocalServer, send
from support.mail_server import HOST, PASSWORD, USERNAME, Authority, MailServer, tls
from support.smtp_answers import ANSWERS
from support.waiting import PATIENCE

from app import extensions
from app.cli import mail_test
from app.email import delivery
from app.email.smtp_answers import explain

pytestmark = on_sqlite
SECRET = "a client's secret"
KEY = RSAKey.generate_key(2048)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def mail_server(app, authority, monkeypatch):
    """Return a function that starts a mail server, which the application uses with these settings, too."""
    servers = []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(delivery, "TIMEOUT", PATIENCE)

    def start(mode, **settings):
        servers.append(MailServer(mode, {"good": tls(authority.certify(HOST))}))
        app.config.update(servers[-1].settings | {"MAIL_SUPPRESS_SEND": False} | settings)
        extensions.mail.init_app(app)
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def token_endpoint():
    """A token endpoint: it keeps what it is `asked`, and gives its `answers`, the last one again and again."""

    class TokenEndpoint(LocalServer):
        asked, answers = [], [(200, {"access_token": "first", "token_type": "Bearer", "expires_in": 3600})]

        def answer(self, handler):
            body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
            self.asked.append({name: value for name, [value] in parse_qs(body).items()})
            status, said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            send(handler, json.dumps(said).encode(), status, "application/json", Location=self.url)

    endpoint = TokenEndpoint("/token")
    yield endpoint
    endpoint.stop()


@pytest.fixture
def oauth(app, mail_server, token_endpoint):
    """A mail server that takes the token `first`, and settings of an OAuth client."""
    client = {"MAIL_OAUTH_CLIENT_ID": "flasky", "MAIL_OAUTH_CLIENT_SECRET": SECRET}
    server = mail_server("OAuth", MAIL_PASSWORD="", MAIL_OAUTH_TOKEN_URL=token_endpoint.url, **client)
    app.extensions.pop("mail_token", None)
    server.token = "first"
    return server


# flask mail test


def test_mail_test_sends_an_email_and_shows_the_dialogue(flask, mail_server):
    server = mail_server("STARTTLS")
    result = flask("mail", "test", "Ann@Example.org")
    assert result.exit_code == 0
    for line in (
        "< 220 ",
        "> STARTTLS",
        "> AUTH PLAIN (secret)",
        "< 235 2.7.0 ",
        "> rcpt TO:<Ann@example.org>",
        "< 354 ",
    ):
        assert f"\n{line}" in result.stdout
    assert "accepted the email to Ann@example.org. If it doesn't arrive, look in the spam folder." in result.stdout
    [email] = server.received
    assert (email["Subject"], email["Auto-Submitted"]) == ("Test email from Flasky", "auto-generated")
    assert server.passwords == [(PASSWORD, "TLSv1.3")]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_mail_test_shows_no_password(flask, mail_server, monkeypatch, mechanism):
    monkeypatch.setattr("aiosmtpd.smtp.SMTP.auth_PLAIN", None) if mechanism == "LOGIN" else None
    mail_server("STARTTLS", MAIL_PASSWORD="a wrong one")
    result = flask("mail", "test", "ann@example.org")
    assert result.exit_code == 1
    assert f"> AUTH {mechanism} (secret)" in result.stdout
    assert "The mail server refuses MAIL_USERNAME or MAIL_PASSWORD. Are both right?" in result.stderr
    for secret in (USERNAME, "a wrong one", f"\0{USERNAME}\0a wrong one"):
        encoded = b64encode(secret.encode()).decode()
        assert not [text for text in (secret, encoded) if text in result.output]


def test_mail_test_explains_each_answer_of_a_mail_server(flask, mail_server):
    server = mail_server("scripted")
    one_of_each = {explain(answer): answer for answer, _ in ANSWERS if answer[:3].isdigit()}
    for explanation, server.answer in one_of_each.items():
        result = flask("mail", "test", "ann@example.org")
        assert (result.exit_code, f"\n< {server.answer[:3]} " in result.stdout) == (1, True)
        remedy = mail_test.REMEDIES.get(explanation.remedy, explanation.remedy)
        assert result.stderr.endswith(f"Error: {server.answer}\n{explanation.cause} {remedy}\n")
        assert not re.search("retried|flask mail retry", result.stderr), "the email is not in the outbox"


@pytest.mark.parametrize(
    ("mode", "settings", "words"),
    [
        ("refuses connections", {}, "No mail server runs at this address and port."),
        ("TLS", {"MAIL_USE_SSL": False}, "On port 465, set MAIL_USE_SSL=1"),
        ("STARTTLS", {"MAIL_USE_SSL": True}, "The port and the kind of TLS don't match. Set MAIL_PORT=587"),
        ("STARTTLS", {"MAIL_SERVER": "localhost"}, "The mail server's certificate is for another name."),
        ("STARTTLS not offered", {}, "The mail server offers no STARTTLS"),
        ("normal", {"MAIL_USERNAME": "ann", "MAIL_PASSWORD": "x"}, "offers no STARTTLS, or it isn't used"),
        ("normal", {"MAIL_SERVER": "mail.invalid"}, "The name in MAIL_SERVER can't be found."),
    ],
)
def test_mail_test_explains_why_there_is_no_connection(flask, mail_server, monkeypatch, mode, settings, words):
    mail_server(mode, **settings)
    monkeypatch.setattr(delivery, "TIMEOUT", 0.3 if mode == "TLS" else PATIENCE)
    result = flask("mail", "test", "ann@example.org")
    assert (result.exit_code, words in result.stderr) == (1, True), result.stderr


def test_mail_test_needs_an_address_and_a_mail_server(app, flask):
    app.config["MAIL_SERVER"] = ""
    assert "MAIL_SERVER is not set" in flask("mail", "test", "ann@example.org").stderr
    app.config["MAIL_SERVER"] = "mail.example.com"
    assert "Invalid value for ADDRESS" in flask("mail", "test", "ann@").stderr


# XOAUTH2


def test_the_application_logs_in_with_an_oauth_token_that_it_keeps_until_it_expires(
    flask, oauth, token_endpoint, clock
):
    for _ in range(2):
        result = flask("mail", "test", "ann@example.org")
        assert (result.exit_code, "> AUTH XOAUTH2 (secret)" in result.stdout) == (0, True)
    [asked] = token_endpoint.asked
    scope = "https://outlook.office365.com/.default"
    client = {"client_id": "flasky", "client_secret": SECRET}
    assert asked == {"grant_type": "client_credentials", "scope": scope} | client
    clock.move(minutes=56)
    assert flask("mail", "test", "ann@example.org").exit_code == 0
    assert len(token_endpoint.asked) == 2


def test_a_refused_oauth_token_is_explained_and_asked_for_again(flask, oauth, token_endpoint):
    oauth.token = "second"
    result = flask("mail", "test", "ann@example.org")
    assert (result.exit_code, "\n> (secret)\n" in result.stdout) == (1, True)
    assert "535 XOAUTH2 5.7.8" in result.stderr
    assert "The mail server refuses the OAuth token." in result.stderr
    assert "first" not in result.output
    token_endpoint.answers.insert(0, (200, {"access_token": "second", "token_type": "Bearer"}))
    assert flask("mail", "test", "ann@example.org").exit_code == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}),
            "AADSTS7000215: Invalid client secret provided.\nThe token endpoint refuses the client.",
        ),
        ((400, {"error": "invalid_scope"}), "The token endpoint refuses the scope or the tenant."),
        ((400, {"error": "invalid_grant"}), "Is MAIL_USERNAME an account of that tenant"),
        ((500, {}), "MAIL_OAUTH_TOKEN_URL gives no valid answer."),
        ((200, {"access_token": "first", "expires_in": "soon"}), "MAIL_OAUTH_TOKEN_URL gives no valid answer."),
        ((200, {"access_token": "first", "scope": "x" * 2**20}), "MAIL_OAUTH_TOKEN_URL gives no valid answer."),
    ],
)
def test_what_the_token_endpoint_answers_is_explained(flask, oauth, token_endpoint, answer, words, caplog):
    token_endpoint.answers[:] = [answer]
    result = flask("mail", "test", "ann@example.org")
    assert (result.exit_code, words in result.stderr) == (1, True), result.stderr
    assert SECRET not in result.output + caplog.text


def test_no_redirect_of_the_token_endpoint_is_followed(app, flask, oauth, token_endpoint, tmp_path):
    for number in (1, 2):
        token_endpoint.answers.insert(0, (307, {}))
        result = flask("mail", "test", "ann@example.org")
        assert (result.exit_code, "gives no valid answer." in result.stderr) == (1, True), result.output
        assert len(token_endpoint.asked) == number
        with_googles_key(app, token_endpoint, tmp_path)


def with_googles_key(app, token_endpoint, folder):
    file = folder / "key.json"
    key = {"client_email": "mail@project.iam.gserviceaccount.com", "private_key": KEY.as_pem(private=True).decode()}
    file.write_text(json.dumps(key | {"token_uri": token_endpoint.url}))
    app.config.update(MAIL_OAUTH_TOKEN_URL="", MAIL_OAUTH_KEY_FILE=str(file))
    return key


def test_googles_service_account_signs_an_assertion(app, flask, oauth, token_endpoint, tmp_path):
    key = with_googles_key(app, token_endpoint, tmp_path)
    result = flask("mail", "test", "ann@example.org")
    assert result.exit_code == 0, result.output
    [asked] = token_endpoint.asked
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(asked["assertion"], KEY, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["sub"]) == (key["client_email"], USERNAME)
    assert (claims["aud"], claims["scope"]) == (token_endpoint.url, "https://mail.google.com/")
