# mypy: ignore-errors
"""a mock OIDC provider: OpenID Connect as Google speaks it, by Authlib's own server side, with people of all kinds.

What is signed and asked is real; only the person is chosen from a list. It keeps its codes in memory, for a developer.
"""

import secrets
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode, UserInfo
from flask import abort, current_app, jsonify, render_template, request
from joserfc.jwk import RSAKey

from app.dev.mailbox import bp
from app.extensions import csrf
from settings.providers import Provider

NAME = "mock"
SCOPE = "openid email profile"

# Whom one can be, and what the issuer says of them.
PEOPLE = {
    "vera": ("Vera, whose address was verified", {"email": "vera@example.org", "email_verified": True}),
    "una": ("Una, whose address was not", {"email": "una@example.org", "email_verified": False}),
    "mike": ("Mike, as Microsoft tells it: an address that anybody may have written", {"email": "mike@example.org"}),
    "nora": ("Nora, who has no address", {}),
    "vera-moved": ("Vera again, with another address", {"email": "vera@example.net", "email_verified": True}),
}


@dataclass
class Code(AuthorizationCodeMixin):
    """What the application gets for a person who agreed, and shows once to learn who it was."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    person: dict

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return None


@dataclass
class Client(ClientMixin):
    """The application, as its issuer knows it."""

    client_id: str = "flasky"
    secret: str = field(default_factory=secrets.token_urlsafe)
    redirect_uri: str = ""

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return self.redirect_uri

    def get_allowed_scope(self, scope):
        return " ".join(word for word in scope.split() if word in SCOPE.split())

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Grant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]
    codes = {}  # of this process

    def save_authorization_code(self, code, asked):
        sent = {name: asked.payload.data.get(name) for name in ("nonce", "code_challenge", "code_challenge_method")}
        self.codes[code] = Code(code, asked.payload.redirect_uri, asked.payload.scope, person=asked.user, **sent)

    def query_authorization_code(self, code, client):
        return self.codes.get(code)

    def delete_authorization_code(self, authorization_code):
        del self.codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.person


class IdToken(OpenIDCode):
    def __init__(self, issuer):
        super().__init__(require_nonce=True)
        self.issuer = issuer

    def resolve_client_private_key(self, client):
        return key()

    def get_encode_header(self, client):
        return {"alg": self.get_client_algorithm(client), "kid": key().kid}

    def get_client_claims(self, client):
        return {"iss": self.issuer}

    def exists_nonce(self, nonce, asked):
        return False

    def generate_user_info(self, user, scope):
        return UserInfo(user)


@cache
def key():
    """What logs in this process, made when first needed."""
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})


def register_mock_provider(app):
    """Let people log in by it, where this machine's browser is the only one that can come here."""
    public = app.config["PUBLIC_URL"]
    if urlsplit(public).hostname not in {"localhost", "127.0.0.1", "::1"}:
        return
    client = Client(redirect_uri=f"{public}/auth/sso/{NAME}/callback")
    provider = Provider(NAME, "Mock provider", f"{public}/dev/mock-provider", client.client_id, client.secret)
    app.config["OIDC_PROVIDERS"] = app.config["OIDC_PROVIDERS"] | {NAME: provider}
    server = AuthorizationServer(app, query_client={client.client_id: client}.get, save_token=lambda *_: None)
    server.register_grant(Grant, [CodeChallenge(required=True), IdToken(provider.issuer)])
    app.extensions["mock_provider"] = provider.issuer, server


@bp.route("/mock-provider/.well-known/openid-configuration")
def mock_provider_metadata():
    issuer, _ = _mock_provider()
    return jsonify(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        jwks_uri=f"{issuer}/keys",
        response_types_supported=["code"],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["RS256"],
        code_challenge_methods_supported=["S256"],
    )


@bp.route("/mock-provider/keys")
def mock_provider_keys():
    return jsonify(keys=[key().as_dict(private=False)])


@bp.route("/mock-provider/authorize", methods=["GET", "POST"])
def mock_provider_authorize():
    _, server = _mock_provider()
    try:
        grant = server.get_consent_grant()
    except OAuth2Error as error:
        return server.handle_error_response(None, error)
    except ValueError:  # the library can't put in words what was wrong
        abort(400)
    if request.method == "POST":
        return server.create_authorization_response(grant=grant, grant_user=_chosen())
    return render_template("dev/mock_provider.html", people=PEOPLE)


@bp.route("/mock-provider/token", methods=["POST"])
@csrf.exempt  # asked by the application, not by a page
def mock_provider_token():
    _, server = _mock_provider()
    return server.create_token_response()


def _mock_provider():
    return current_app.extensions.get("mock_provider") or abort(404)


def _chosen():
    """What the issuer says of the person chosen; None if they refuse."""
    person = request.form.get("person")
    if person == "typed":
        email = request.form.get("email", "")
        return {"sub": f"typed-{email}", "email": email, "email_verified": "verified" in request.form}
    if person not in PEOPLE:
        return None
    label, claims = PEOPLE[person]
    return {"sub": person.partition("-")[0], "name": label.partition(" ")[0].strip(","), **claims}
