"""GitHub, as far as a login needs it: a real HTTP server, with the answers and errors of its documentation."""

import base64
import hashlib
import json
import secrets
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from support.local_server import LocalServer

CLIENT, SECRET = "Iv1.8a61f9b3a7aba766", "what the two of them know"
PAGE = """<!doctype html><html lang="en"><title>Authorize</title><h1>Authorize {client_id}</h1>
<form action="/agree"><input type="hidden" name="state" value="{state}"><button>Authorize</button></form>
<p><a href="{redirect_uri}?error=access_denied&amp;state={state}">Cancel</a></p></html>"""
DOWN = b"<html><title>Unicorn! &middot; GitHub</title>We had issues producing the response to your request.</html>"


class GitHub(LocalServer):
    """One server and one person with an account there. A test changes `user`, `emails`, and `answers` by path."""

    def __init__(self):
        self.user = {"id": 583231, "login": "ada-codes", "name": "Ada Lovelace", "email": None}
        self.emails = [address("old@example.com", primary=False), address("ada@example.com")]
        self.answers = {}  # path: a function of the handler, instead of the answer
        self.asked, self.codes, self.token = {}, {}, None
        super().__init__("")

    def answer(self, handler):
        return self.answers.get(urlsplit(handler.path).path, self._answer)(handler)

    def agree(self, url):
        """Have the person agree on the page at this URL; return the address that they are sent back to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert (asked["client_id"], asked["scope"]) == (CLIENT, "user:email")
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_hex(10)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def _answer(self, handler):
        parts = urlsplit(handler.path)
        match parts.path:
            case "/login/oauth/authorize":
                asked = dict(parse_qsl(parts.query))
                self.asked[asked["state"]] = handler.path
                return send(handler, PAGE.format(**asked).encode(), kind="text/html; charset=utf-8")
            case "/agree":
                handler.send_response(302)
                handler.send_header("Location", self.agree(self.asked[parse_qs(parts.query)["state"][0]]))
                handler.send_header("Content-Length", "0")
                return handler.end_headers()
            case "/login/oauth/access_token":
                return self._token(handler)
            case "/api/user":
                return self._api(handler, self.user)
            case "/api/user/emails":
                return self._api(handler, self.emails)
        return send(handler, {"message": "Not Found"}, 404)

    def _token(self, handler):
        """Answer with status 200 in any case, as JSON only to a client that accepts JSON."""
        form = dict(parse_qsl(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))
        asked = self.codes.pop(form.get("code"), None)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            said = error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
        elif not asked or challenge(form.get("code_verifier", "")) != asked["code_challenge"]:
            said = error("bad_verification_code", "The code passed is incorrect or expired.")
        elif form.get("redirect_uri") != asked["redirect_uri"]:
            said = error("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.")
        else:
            self.token = f"gho_{secrets.token_hex(18)}"
            said = {"access_token": self.token, "scope": "user:email", "token_type": "bearer"}
        if handler.headers["Accept"] != "application/json":
            return send(handler, urlencode(said).encode(), kind="application/x-www-form-urlencoded; charset=utf-8")
        return send(handler, said)

    def _api(self, handler, said):
        if handler.headers["Authorization"] != f"Bearer {self.token}":
            return send(handler, {"message": "Requires authentication", "status": "401"}, 401)
        assert handler.headers["Accept"] == "application/vnd.github+json"
        assert handler.headers["User-Agent"], "GitHub refuses requests without it"
        scopes = {"X-OAuth-Scopes": "user:email", "X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999"}
        return send(handler, said, more=scopes)


def address(email, primary=True, verified=True):
    return {"email": email, "primary": primary, "verified": verified, "visibility": "private" if primary else None}


def error(code, description):
    return {"error": code, "error_description": description, "error_uri": "https://docs.github.com/apps"}


def challenge(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def send(handler, said, status=200, kind="application/json; charset=utf-8", more=()):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": len(body), **dict(more)}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)
