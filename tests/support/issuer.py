"""An OpenID Connect issuer that does what it is told: a real HTTP server, which knows nothing of Authlib."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey

from settings.providers import Provider
from support.local_server import LocalServer

CLIENT, SECRET = "the-application", "what the two of them know"
TENANT = "11111111-2222-3333-4444-555555555555"
FIRST, SECOND = (RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}) for kid in ("first", "second"))
GOING = re.compile(r"0; url=(\S+)")


class Issuer(LocalServer):
    """One issuer. A test sets what it says: `claims` of its tokens, `header`, `key`, `publishes`, `answers`."""

    def __init__(self, certificate=None):
        self.key = FIRST
        self.publishes = [self.key]
        self.header, self.claims, self.metadata, self.codes = {}, {}, {}, {}
        self.userinfo = None
        self.answers = {}  # path: a function of the handler, instead of the answer
        self.asked = []  # paths
        self.auth_methods = ["client_secret_basic"]  # that its token endpoint accepts
        self.is_secret = SECRET.__eq__
        self.authorizations = []  # headers that the token endpoint got
        super().__init__(certificate=certificate)

    def provider(self, name="acme", **options):
        return Provider(name, options.pop("label", name.capitalize()), self.url, CLIENT, SECRET, **options)

    # The person at its page

    def agree(self, going, **claims):
        """Have a person with these claims log in where a page leads; return the address that they are sent back to."""
        asked = dict(parse_qsl(urlsplit(GOING.fullmatch(going)[1]).query))
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"claims": {"sub": "ada", **claims}}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    # What the application asks it

    def answer(self, handler):
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path](handler)
        return {
            "/.well-known/openid-configuration": self._metadata,
            "/common/v2.0/.well-known/openid-configuration": self._metadata,
            "/keys": lambda _: send(handler, {"keys": [public(key) for key in self.publishes]}),
            "/token": self._token,
            "/userinfo": lambda _: send(handler, self.userinfo or {}),
        }[path](handler)

    def _metadata(self, handler):
        said = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        said |= {"userinfo_endpoint": f"{self.url}/userinfo"} if self.userinfo else {}
        send(handler, said | self.metadata)

    def _token(self, handler):
        form = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).rstrip(b"=")
        if self._method(handler, form) not in self.auth_methods:
            return send(handler, {"error": "invalid_client"}, 401)
        asked = self.codes.pop(form["code"][0], None)
        if (
            not asked
            or challenge.decode() != asked["code_challenge"]
            or form["redirect_uri"] != [asked["redirect_uri"]]
        ):
            return send(handler, {"error": "invalid_grant"}, 400)
        return send(
            handler, {"access_token": "an access token", "token_type": "Bearer", "id_token": self.id_token(asked)}
        )

    def _method(self, handler, form):
        """How the application proves who it is: in a header, form-encoded (RFC 6749, 2.3.1), or in the form."""
        self.authorizations.append(handler.headers["Authorization"])
        if "client_secret" in form:
            is_right = form["client_id"] == [CLIENT] and self.is_secret(form["client_secret"][0])
            return is_right and "client_secret_post"
        _, _, basic = (handler.headers["Authorization"] or "").partition("Basic ")
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        return unquote_plus(name) == CLIENT and unquote_plus(secret) == SECRET and "client_secret_basic"

    def id_token(self, asked):
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= asked["claims"] | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.key.kid} | self.header
        header = {name: value for name, value in header.items() if value is not None}
        signed = f"{_encoded(json.dumps(header))}.{_encoded(json.dumps(claims))}"
        if header["alg"] == "none":
            return f"{signed}."
        if header["alg"] == "HS256":  # with what everybody can read as the secret
            public = self.publishes[0].as_pem(private=False)
            return f"{signed}.{_encoded(hmac.digest(public, signed.encode(), 'sha256'))}"
        return jws.serialize_compact(header, json.dumps(claims), self.key, algorithms=[header["alg"]])


def public(key, **changes):
    """A key as it is published; what else a test publishes, as it is."""
    if not hasattr(key, "as_dict"):
        return key
    said = key.as_dict(private=False) | changes
    return {name: value for name, value in said.items() if value is not None}


def send(handler, said, status=200):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", len(body))
    handler.end_headers()
    handler.wfile.write(body)


def _encoded(part):
    return base64.urlsafe_b64encode(part.encode() if isinstance(part, str) else part).rstrip(b"=").decode()
