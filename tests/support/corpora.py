# ruff: noqa: RUF001 - the emails that look like others are meant
"""What strangers may send: addresses to be led to, tokens, names, and what fits nowhere. Tests take it from here."""

import base64
import hmac
import json
from urllib.parse import urlencode

from joserfc import jws
from joserfc.jwk import OctKey

# Where a `next` must not lead, and where it may

OUTSIDE = [
    "//evil.com", "/\\evil.com", "\\\\evil.com", "\\/evil.com", "/\t/evil.com", "\t//evil.com", " //evil.com",
    "\0//evil.com", "\1https://evil.com", "/\n/evil.com", "///evil.com", "////evil.com", "https:evil.com",
    "https:/evil.com", "http:///evil.com", "http:/\\evil.com", "javascript:alert(1)", "data:text/html,x",
    "https://good@evil.com", "https://localhost@evil.com", "https://localhost.evil.com", "//localhost:80@evil.com",
    "https://evil.com\\@localhost", "//evil%E3%80%82com", "http://[bad", "http://[::1]\\@evil", "/a\r\nSet-Cookie: x=1",
    "/" + "a" * 10_240, "", "evil.com", "/\u2028/evil.com", "/\u200b/evil.com",
]  # fmt: skip
INSIDE = ["/ok", "/ok?x=1#f", "/%5cevil.com", "/%2f%2fevil.com"]


# Who one may say that one is: what makes no account, and which two spellings are one or are not

NO_ADDRESSES = [
    "", "eve", "a@b", "eve@localhost", "@example.com", "eve@", "eve@@example.com", "eve@example.com\0",
    "e\0ve@example.com", "eve@exa\0mple.com", "eve@\ud800.com", "eve\u202e@example.com",
    "eve\u200b@example.com", "eve@exam\u202eple.com", "x" * 65 + "@example.com", "eve@" + "x" * 64 + ".com",
    "eve@" + "x." * 124 + "com", '"eve"@example.com', '"e ve"@example.com', "eve@[127.0.0.1]", "eve@[IPv6:::1]",
    "eve@127.0.0.1", "eve@example.com, ada@example.com", "eve@example.com;ada@example.com", "Eve <eve@example.com>",
    "eve@example.com\r\nBcc: ada@example.com", "eve@example.com\x0bBcc: a", "eve@exam\u2028ple.com", "é@example.com",
    "аdа@example.com", "eve@example..com", ".eve@example.com", "eve@-example.com", "eve@xn--.com", "eve@xn--a.com",
]  # fmt: skip
NO_USERNAMES = [
    "", "1eve", "e ve", "evé", "e\nve", "eve\0", "\ud800", "eve\u202e", "e\u200bve", "аdа", "ａｄａ", "ﬁona", "groß",
    "ᴮᴵᴳᴮᴵᴿᴰ", "e" * 65, "eve@example.com", "admin", "ADMIN", "root", "www", "security", "postmaster", "Flasky",
]  # fmt: skip
SAME_ADDRESSES = [
    ("eve@example.com", "EVE@EXAMPLE.COM"),
    ("eve@bücher.example", "eve@xn--bcher-kva.example"),
    ("eve@bücher.example", "eve@bu\u0308cher.example"),
    ("eve@example.com", "eve@ｅｘａｍｐｌｅ.com"),
    ("eve@example.com", "eve@example。com"),
]
OTHER_ADDRESSES = [
    ("eve@straße.example", "eve@strasse.example"),
    ("eve@example.com", "eve+1@example.com"),
    ("eve@example.com", "e.ve@example.com"),
]

# What fits nowhere

STRANGE = [
    "", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\ufffe", "\U0010ffff", "\u202eabc", "\u200b", "\r\nSet-Cookie: x=1",
    "\x1b[31m", "\x85", "\u2028", "'", "\"><b>", "<script>alert(1)</script>", "{{ 7 * 7 }}", "%s%n", "%00",
    "%ED%A0%80", "../../etc/passwd", "-1", "0", "1.5", "1e309", "NaN", "2147483648", "9223372036854775808", str(2**200),
    "9" * 5000, "٣٤٥٦٧٨٩٠", "²", "x" * 10_000, "é" * 5_000, "\u0315" * 1025, "[" * 5_000, '{"a": {"a": 1}}',
    '"\\ud800"', "null", "a@b@c", "x" * 250 + "@example.com", "eyJ.eyJ.x",
]  # fmt: skip
# The same by fewer: for where much is tried with each.
STRANGEST = [
    "", "\0", "\ud800", "\r\nSet-Cookie: x=1", "<script>alert(1)</script>", "9223372036854775808", "9" * 5000,
    "٣٤٥٦٧٨٩٠", "x" * 10_000, '{"a": "\\ud800"}', "//evil.com",
]  # fmt: skip

# Tokens, each of which must not be taken for what it was made of: name -> (token, key, payload) -> token


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key, payload, **header):
    return jws.serialize_compact({"alg": "HS256", "kid": key.kid} | header, json.dumps(payload), key)


SPARE = str.maketrans("AEIMQUYcgkosw048", "BFJNRVZdhlptx159")


def forged(key, payload, header):
    """A token whose header is as it is given, and whose signature is right."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(key.get_op_key('sign'), signed.encode(), 'sha256'))}"


TOKENS = {
    "empty": lambda token, key, payload: "",
    "dots": lambda token, key, payload: "..",
    "word": lambda token, key, payload: "abc",
    "accents": lambda token, key, payload: "é.é.é",
    "3 KiB": lambda token, key, payload: signed(key, payload | {"x": "x" * 3000}),
    "300 KiB header": lambda token, key, payload: signed(key, payload, cty="x" * 300_000),
    "alg none": lambda token, key, payload: f"{b64({'alg': 'none'})}.{b64(payload)}.",
    "alg None": lambda token, key, payload: f"{b64({'alg': 'None', 'kid': key.kid})}.{b64(payload)}.",
    "alg nOnE": lambda token, key, payload: f"{b64({'alg': 'nOnE', 'kid': key.kid})}.{b64(payload)}.",
    "alg missing": lambda token, key, payload: forged(key, payload, {"kid": key.kid}),
    "HS512": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS512", "kid": key.kid}, json.dumps(payload), key, algorithms=["HS512"]
    ),
    "RS256": lambda token, key, payload: forged(key, payload, {"alg": "RS256", "kid": key.kid}),
    "alg a list": lambda token, key, payload: forged(key, payload, {"alg": ["HS256"], "kid": key.kid}),
    "alg an object": lambda token, key, payload: forged(key, payload, {"alg": {}, "kid": key.kid}),
    "alg a number": lambda token, key, payload: forged(key, payload, {"alg": 1, "kid": key.kid}),
    "header a list": lambda token, key, payload: forged(key, payload, []),
    "header deep": lambda token, key, payload: f"{b64(b'[' * 5000 + b']' * 5000)}.{token.split('.', 1)[1]}",
    "header deep and short": lambda token, key, payload: f"{b64(b'[' * 1200)}.{b64(payload)}.x",
    "header not JSON": lambda token, key, payload: f"{b64(b'abc')}.{token.split('.', 1)[1]}",
    "crit": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "crit": ["x"]}),
    "crit a number": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "crit": 1}),
    "jwk": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}),
    "jku": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "jku": "http://127.0.0.1/"}),
    "x5u": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "x5u": "http://127.0.0.1/"}),
    "kid a path": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": "../../etc/passwd"}),
    "kid an object": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": {}}),
    "kid missing": lambda token, key, payload: forged(key, payload, {"alg": "HS256"}),
    "b64 false": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "b64": False}),
    "padding": lambda token, key, payload: token + "==",
    "spare bit": lambda token, key, payload: token[:-1] + token[-1].translate(SPARE),
    "newline": lambda token, key, payload: token + "\n",
    "lower case": lambda token, key, payload: token.lower(),
    "another's signature": lambda token, key, payload: (
        f"{token.rpartition('.')[0]}.{signed(key, {'a': 1}).rpartition('.')[2]}"
    ),
    "payload not JSON": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS256", "kid": key.kid}, b"\xff{", key
    ),
    "payload a list": lambda token, key, payload: signed(key, [payload]),
    "payload a number": lambda token, key, payload: signed(key, 7),
    "payload deep": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS256", "kid": key.kid}, b"[" * 1200, key
    ),
    "exp missing": lambda token, key, payload: signed(key, {name: payload[name] for name in payload if name != "exp"}),
    "exp NaN": lambda token, key, payload: signed(key, payload | {"exp": float("nan")}),
    "exp infinite": lambda token, key, payload: signed(key, payload | {"exp": float("inf")}),
    "exp text": lambda token, key, payload: signed(key, payload | {"exp": "2100-01-01"}),
    "exp true": lambda token, key, payload: signed(key, payload | {"exp": True}),
    "exp huge": lambda token, key, payload: signed(key, payload | {"exp": 10**30}),
    "exp past": lambda token, key, payload: signed(key, payload | {"exp": payload["iat"] - 1}),
    "iat in the future": lambda token, key, payload: signed(
        key, payload | {"iat": payload["iat"] + 7200, "exp": payload["exp"] + 7200}
    ),
    "sub of nobody": lambda token, key, payload: signed(key, payload | {"sub": 999}),
    "sub huge": lambda token, key, payload: signed(key, payload | {"sub": 2**63}),
    "sub negative": lambda token, key, payload: signed(key, payload | {"sub": -1}),
    "sub text": lambda token, key, payload: signed(key, payload | {"sub": str(payload["sub"])}),
    "sub true": lambda token, key, payload: signed(key, payload | {"sub": True}),
    "state missing": lambda token, key, payload: signed(
        key, {name: payload[name] for name in payload if name != "state"}
    ),
    "state another": lambda token, key, payload: signed(key, payload | {"state": "x"}),
    "state a list": lambda token, key, payload: signed(key, payload | {"state": [payload["state"]]}),
    "aud missing": lambda token, key, payload: signed(key, {name: payload[name] for name in payload if name != "aud"}),
    "aud another": lambda token, key, payload: signed(key, payload | {"aud": "https://other.example"}),
    "other purpose": lambda token, key, payload: signed(key, payload | {"purpose": f"not {payload['purpose']}"}),
    "other key": lambda token, key, payload: signed(OctKey.import_key(b"k" * 32, {"kid": key.kid}), payload),
    "key of zeros": lambda token, key, payload: signed(OctKey.import_key(b"\0" * 32, {"kid": key.kid}), payload),
}


def encoded(pairs):
    return urlencode(pairs, encoding="utf-8", errors="surrogatepass")


def raw(text):
    """As a WSGI server passes on the bytes that came."""
    return text.encode(errors="surrogatepass").decode("latin-1")
