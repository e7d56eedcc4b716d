"""A mock OpenID Connect provider for development: Authlib's authorization server with a choice of users.

Requests and signatures are real. Codes and the key exist only in the memory of the process.
"""

import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode, UserInfo
from flask import Flask, abort, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from joserfc.jwk import RSAKey

from app.dev.mailbox import bp
from app.extensions import csrf
from settings.providers import Provider

NAME = "mock"
SCOPE = "openid email profile"
TYPED = "typed"  # the user whose address the developer enters

Claims = dict[str, Any]

USERS: dict[str, tuple[str, Claims]] = {
    "vera": ("Vera, whose address was verified", {"email": "vera@example.org", "email_verified": True}),
    "una": ("Una, whose address was not", {"email": "una@example.org", "email_verified": False}),
    "mike": ("Mike, a Microsoft user, whose address may be anybody's", {"email": "mike@example.org"}),
    "nora": ("Nora, who has no address", {}),
    "vera-moved": ("Vera again, with another address", {"email": "vera@example.net", "email_verified": True}),
}


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code, and the claims of the ID token for it."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    claims: Claims

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> None:
        return None


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """The application, as a client of the mock provider."""

    client_id: str = "flasky"
    secret: str = field(default_factory=secrets.token_urlsafe)
    redirect_uri: str = ""

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(word for word in scope.split() if word in SCOPE.split())

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Grant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]
    codes: ClassVar[dict[str, Code]] = {}

    def save_authorization_code(self, code: str, request: Any) -> None:
        sent = {name: request.payload.data.get(name) for name in ("nonce", "code_challenge", "code_challenge_method")}
        self.codes[code] = Code(code, request.payload.redirect_uri, request.payload.scope, claims=request.user, **sent)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return self.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Claims:
        return authorization_code.claims


class IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, issuer: str) -> None:
        super().__init__(require_nonce=True)
        self.issuer = issuer

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return key()

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": self.get_client_algorithm(client), "kid": key().kid}

    def get_client_claims(self, client: Client) -> Claims:
        return {"iss": self.issuer}

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def generate_user_info(self, user: Claims, scope: str) -> UserInfo:
        return UserInfo(user)


@cache
def key() -> RSAKey:
    """Return the key that signs the ID tokens of this process, generated at first use."""
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})


def register_mock_provider(app: Flask) -> None:
    """Add the mock provider to OIDC_PROVIDERS if PUBLIC_URL is this machine, because others can't open /dev/."""
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
def mock_provider_metadata() -> ResponseReturnValue:
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
def mock_provider_keys() -> ResponseReturnValue:
    return jsonify(keys=[key().as_dict(private=False)])


@bp.route("/mock-provider/authorize", methods=["GET", "POST"])
def mock_provider_authorize() -> ResponseReturnValue:
    _, server = _mock_provider()
    try:
        grant = server.get_consent_grant()
    except OAuth2Error as error:
        return cast(ResponseReturnValue, server.handle_error_response(None, error))
    except ValueError:  # Authlib has no error of its own for a malformed request
        abort(400)
    if request.method == "POST":
        response = server.create_authorization_response(grant=grant, grant_user=_chosen_user())
        return cast(ResponseReturnValue, response)
    return render_template("dev/mock_provider.html", users=USERS)


@bp.route("/mock-provider/token", methods=["POST"])
@csrf.exempt  # requested by the application, not by a page
def mock_provider_token() -> ResponseReturnValue:
    _, server = _mock_provider()
    return cast(ResponseReturnValue, server.create_token_response())


def _mock_provider() -> tuple[str, AuthorizationServer]:
    registered: tuple[str, AuthorizationServer] | None = current_app.extensions.get("mock_provider")
    return registered or abort(404)


def _chosen_user() -> Claims | None:
    """Return the claims of the chosen user, or None if the developer declined."""
    name = request.form.get("user", "")
    if name == TYPED:
        email = request.form.get("email", "")
        return {"sub": f"typed-{email}", "email": email, "email_verified": "verified" in request.form}
    if name not in USERS:
        return None
    label, claims = USERS[name]
    return {"sub": name.partition("-")[0], "name": label.partition(" ")[0].strip(","), **claims}
