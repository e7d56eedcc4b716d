"""A passkey in software: it answers as a browser does, truly, or with the lies that a test wants."""

import hashlib
import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from support.clients import JSON

PAGE, LOGIN = "/auth/passkeys", "/auth/login"
MAKE, USE = "/auth/passkeys/creation-options", "/auth/passkeys/request-options/log_in"
STEP, USE_AS_STEP = "/auth/two-factor/verify", "/auth/passkeys/request-options/two_factor"
USE_AGAIN = "/auth/passkeys/request-options/reauthentication"
PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, HAS_KEY, HAS_EXTENSIONS = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


def text(raw):
    return urlsafe_b64encode(raw).decode().rstrip("=")


def raw(text):
    return urlsafe_b64decode(text + "==")


class Key:
    """What is said to it beside the options is what it says instead of the truth."""

    def __init__(self, origin="http://localhost", rp_id="localhost", flags=PRESENT | VERIFIED, counts=True):
        self.origin, self.rp_id, self.flags, self.counts = origin, rp_id, flags, counts
        self.key, self.id, self.count, self.handle = ec.generate_private_key(ec.SECP256R1()), os.urandom(16), 0, None

    def create(self, options, **lies):
        """Answer navigator.credentials.create()."""
        self.handle = raw(options["user"]["id"])
        point = self.key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}
        encoded = lies.get("encoded_key", cbor2.dumps(lies.get("key", key)))
        credential = bytes(16) + len(self.id).to_bytes(2) + self.id + encoded
        about = self._about(HAS_KEY, **lies) + credential + lies.get("extensions", b"")
        attestation = lies.get("attestation") or cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": about})
        response = {"attestationObject": text(attestation), "transports": ["internal", "hybrid", "telepathy"]}
        return self._answer("webauthn.create", options, response, **lies)

    def get(self, options, **lies):
        """Answer navigator.credentials.get()."""
        self.count += self.counts
        about = self._about(0, **lies) + lies.get("extensions", b"")
        said = self._said("webauthn.get", options, **lies)
        signature = self.key.sign(about + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))
        response = {"authenticatorData": text(about), "signature": text(lies.get("signature", signature))}
        handle = lies.get("handle", self.handle)
        response["userHandle"] = None if handle is None else text(handle)
        return self._answer("webauthn.get", options, response, **lies)

    def _about(self, more, **lies):
        count = lies.get("count", self.count)
        host = lies.get("rp_id", self.rp_id).encode()
        flags = lies.get("flags", self.flags) | more | (HAS_EXTENSIONS if "extensions" in lies else 0)
        return hashlib.sha256(host).digest() + bytes([flags]) + count.to_bytes(4)

    def _said(self, ceremony, options, **lies):
        challenge = lies.get("challenge", options["challenge"])
        said = {"type": lies.get("kind", ceremony), "challenge": challenge, "origin": lies.get("origin", self.origin)}
        return json.dumps(said | {"crossOrigin": False}).encode()

    def _answer(self, ceremony, options, response, **lies):
        said = {"clientDataJSON": text(self._said(ceremony, options, **lies))}
        credential = {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "clientExtensionResults": {}}
        return json.dumps(credential | {"response": response | said, "authenticatorAttachment": "platform"})


# The pages that a passkey is used on


def asked(browser, address=USE):
    answer = browser.post(address, headers=JSON)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return answer.json


def add(browser, device, name="My phone", options=None, **lies):
    return browser.post(PAGE, data={"name": name, "credential": device.create(options or asked(browser, MAKE), **lies)})


def log_in(browser, device, options=None, address=LOGIN, **lies):
    return browser.post(address, data={"credential": device.get(options or asked(browser), **lies)})


def prove(browser, device):
    """Prove both factors by a passkey, which allows one change of a credential."""
    assert log_in(browser, device, asked(browser, USE_AGAIN), "/auth/reauthenticate").status_code == 302


def page_of(browser):
    """The address of the one passkey's own page."""
    return re.search(rf'href="({PAGE}/[^"]+)"', browser.get(PAGE).text)[1]
