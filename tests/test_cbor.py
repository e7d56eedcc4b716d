"""CBOR that no authenticator sends is refused before a library decodes it, wherever a passkey is added or used."""

import cbor2
import pytest
from support.authenticators import codes_on
from support.clients import on_sqlite
from support.passkeys import LOGIN, MAKE, PRESENT, STEP, USE, USE_AGAIN, USE_AS_STEP, VERIFIED, Key, add, asked, log_in

from app.accounts import cbor

LEVELS = 12  # cheap enough for a test that fails; each level doubles the cost
KEY = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)})
HIDDEN = b"\xa1\x61a" + b"\x5b" + (3).to_bytes(8) + b"\xd8\x1c\x81"  # a length that encoding again would shorten

pytestmark = on_sqlite


def shared(level=0):
    """An array of itself twice, and so on: tag 28 marks a value, 29 refers to it."""
    if level == LEVELS:
        return b"\xd8\x1c\x82\x01\x02"
    return b"\xd8\x1c\x82" + shared(level + 1) + b"\xd8\x1d" + cbor2.dumps(level + 1)


STRANGE = {
    "shared values as a key": b"\xa1" + shared() + b"\x01",
    "shared values": b"\xa1\x61x" + shared(),
    "a regular expression": b"\xa1\x61x\xd8\x23" + cbor2.dumps("(?i)" + "[\x01-\uffff]" * 3),
    "a large number": b"\xa1\x61x\xc2\x41\x01",
    "a length that is too long": HIDDEN,
    "no length": b"\xbf\x61x\x01\xff",
    "a short float": b"\xa1\x61x\xf9\x3c\x00",
    "too deep": b"\xa1\x61x" + b"\x81" * 4 + b"\x01",
    "a map without its end": b"\xbb" + b"\xff" * 8,
    "bytes without their end": b"\x5a\xff\xff\xff\xff",
}
REFUSED = ["CBOR is not in the form of authenticators", "CBOR is cut off or too deep", "CBOR is cut off"]


@pytest.fixture
def key(client, ada):
    """A passkey of Ada, who is logged in."""
    key = Key()
    client.log_in(ada)
    assert add(client, key).status_code == 302
    return key


def is_refused(answer, caplog):
    """Whether an answer was refused for its CBOR, before anything else was looked at."""
    said = [line.removeprefix("A passkey was not accepted: ") for line in caplog.messages if "not accepted" in line]
    caplog.clear()
    return answer.status_code == 422 and len(said) == 1 and said[0] in REFUSED


@pytest.fixture(params=STRANGE)
def strange(request, caplog):
    caplog.set_level("INFO", "app.accounts.passkey_ceremonies")
    return STRANGE[request.param]


def test_it_is_refused_where_a_passkey_is_used(client, another_client, ada, key, strange, caplog):
    assert is_refused(log_in(another_client, key, extensions=strange), caplog)
    assert is_refused(log_in(another_client, Key(), extensions=strange), caplog), "of nobody"
    assert is_refused(log_in(client, key, asked(client, USE_AGAIN), "/auth/reauthenticate", extensions=strange), caplog)
    as_key = bytes(18) + strange
    flags = PRESENT | VERIFIED | 0x40
    assert is_refused(
        log_in(another_client, key, asked(another_client, USE), LOGIN, flags=flags, extensions=as_key), caplog
    )
    assert codes_on(client.post("/auth/two-factor/require-passkey"))
    caplog.clear()
    another_client.log_in(ada)
    assert is_refused(log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP, extensions=strange), caplog)
    assert log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP).status_code == 302


def test_it_is_refused_where_a_passkey_is_added(client, ada, strange, caplog):
    client.log_in(ada)
    for lies in (
        {"encoded_key": strange},
        {"extensions": strange},
        {"attestation": strange},
        {"attestation": b"\xa3\x63fmt\x64none\x67attStmt" + strange + b"\x68authData" + cbor2.dumps(bytes(40))},
    ):
        assert is_refused(add(client, Key(), asked(client, MAKE), **lies), caplog), lies


def test_a_tag_behind_a_length_that_is_too_long_is_not_reached(client, ada, caplog):
    """The library looks for the extensions where the key would end if it had the shortest form."""
    caplog.set_level("INFO", "app.accounts.passkey_ceremonies")
    client.log_in(ada)
    long = KEY[:-35] + b"\x22\x5b" + (32).to_bytes(8) + bytes(25) + b"\xd8\x1c\x81\x01" + bytes(3)
    assert is_refused(add(client, Key(), encoded_key=long, extensions=cbor2.dumps({"a": 1})), caplog)


@pytest.mark.parametrize("data", [[1, 2], 2**40, "text", None])
def test_authenticator_data_that_is_not_of_bytes_is_refused(client, ada, data):
    client.log_in(ada)
    attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
    assert add(client, Key(), attestation=attestation).status_code == 422


def test_extensions_of_real_authenticators_are_accepted(client, another_client, ada):
    client.log_in(ada)
    key = Key()
    created = {"credProtect": 2, "hmac-secret": True, "minPinLength": 6, "credBlob": False}
    assert add(client, key, extensions=cbor2.dumps(created)).status_code == 302
    used = {"hmac-secret": bytes(80), "uvm": [[2, 4, 2]], "credBlob": b"x" * 300}
    assert log_in(another_client, key, extensions=cbor2.dumps(used)).location == "/"


def test_the_form_of_ctap_is_accepted(app):
    numbers = (0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1)
    for number in numbers:
        cbor.check(cbor2.dumps([number, -1 - number, {"x": [number]}, True, False, None]))
    cbor.check(KEY + cbor2.dumps({"x" * 300: "y" * 70_000}))
    cbor.check(b"")
