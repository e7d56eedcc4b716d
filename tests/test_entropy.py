"""Secret keys that are refused because they could be guessed."""

import base64
import secrets
import uuid

import pytest

from settings import entropy

GUESSABLE = """
abcdefghijklmnopqrstuvwxyzabcdef abcdefghijklmnopqrstuvwxyz0123456789 zyxwvutsrqponmlkjihgfedcba9876543210
AbCdEfGhIjKlMnOpQrStUvWxYz123456 acegikmoqsuwyacegikmoqsuwyacegik abc123def456ghi789abc123def456ghi
qwertyuiopasdfghjklzxcvbnm123456 qwertyuiopqwertyuiopqwertyuiop12 QWERTYUIOPasdfghjklZXCVBNM!@#$%^
poiuytrewqlkjhgfdsamnbvcxz098765 1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9 1q2w3e4r5t6y7u8i9o0p1q2w3e4r5t6y
qwertzuiopasdfghjklyxcvbnm123456 azertyuiopqsdfghjklmwxcvbn123456 asdfjklasdfjklasdfjklasdfjklasdf
a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6 aabbccddeeffgghhiijjkkllmmnnoopp aaaabbbbccccddddeeeeffffgggghhhh
Xk1mQ9vzXk1mQ9vzXk1mQ9vzXk1mQ9vz Xk1mQ9vz-Xk1mQ9vz-Xk1mQ9vz-Xk1mQ9vz deadbeefdeadbeefdeadbeefdeadbeef
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef 0123456789abcdeffedcba9876543210
0f1e2d3c4b5a69788796a5b4c3d2e1f0ffeeddccbbaa9988 00112233445566778899aabbccddeeff
00000000000000000000000000000000000000000000000000000000000000ff 01010101010101010101010101010101
12345678901234567890123456789012 123456789101112131415161718192021222324 111111111122222222223333333333444444
01-02-03-04-05-06-07-08-09-10-11-12 key1key2key3key4key5key6key7key8 !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!
2024-01-15-2024-02-20-2025-11-30-1999-12-31 19840312199107232007011520231130 31.12.1999/01.01.2000/15.12.1985
2024-01-15T12:30:00-2025-02-16T13:45:10 P@ssw0rdP@ssw0rdP@ssw0rdP@ssw0rd letmeinletmeinletmeinletmein1234
change-me-change-me-change-me-change-me your-256-bit-secret-your-256-bit-secret
a_hard_to_guess_string_which_everybody_has_read this-is-my-very-long-production-key-2024
ThisIsAVerySecretKeyForMyFlaskApplication you-will-never-guess-this-secret-key-123
development-secret-key-do-not-use-in-production correcthorsebatterystaplecorrecthorse
correct-horse-battery-staple-purple-monkey TOBEORNOTTOBETHATISTHEQUESTIONWHETHER
itwasthebestoftimesitwastheworstoftimesitwastheageofwisdom loremipsumdolorsitametconsecteturadipiscingelit
DasIstEinSehrGeheimerSchluesselFuerDieProduktion supersecretkeyforjwtsigningdonotshare
74686973697361736563726574737472696e67666f72746865617070 VGhpc0lzTXlTZWNyZXRLZXlGb3JQcm9kdWN0aW9u
""".split()
MADE_BY = {
    "token_hex()": secrets.token_hex,
    "token_hex(16)": lambda: secrets.token_hex(16),
    "token_hex(64)": lambda: secrets.token_hex(64),
    "token_urlsafe()": secrets.token_urlsafe,
    "token_urlsafe(24)": lambda: secrets.token_urlsafe(24),
    "base64 of token_bytes()": lambda: base64.b64encode(secrets.token_bytes()).decode(),
    "two UUIDs": lambda: f"{uuid.uuid4()}{uuid.uuid4()}",
    "two UUIDs in hexadecimal": lambda: uuid.uuid4().hex + uuid.uuid4().hex,
    "capitals": lambda: secrets.token_hex().upper(),
    "Django's fifty": lambda: "".join(
        secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)") for _ in "x" * 50
    ),
}


@pytest.mark.parametrize("key", GUESSABLE)
def test_keys_that_people_write_are_guessable(key):
    assert entropy.is_guessable(key)


@pytest.mark.parametrize("made_by", MADE_BY)
def test_random_keys_are_not_guessable(made_by):
    keys = [MADE_BY[made_by]() for _ in range(100)]
    assert [key for key in keys if entropy.is_guessable(key)] == []
    assert min(map(entropy.bits, keys)) > entropy.ENOUGH + 8


def test_a_random_key_between_guessable_words_is_not_guessable():
    assert not entropy.is_guessable(f"production-{secrets.token_hex()}-2024")


@pytest.mark.parametrize("key", ["", "a", "ab", "abc", "é" * 40, "\U0001f600" * 40, "\x00" * 40])
def test_short_keys_are_guessable(key):
    assert entropy.is_guessable(key)


def test_long_keys_are_estimated_quickly():
    """Only the search for repetitions looks at more than a few characters per character."""
    assert not entropy.is_guessable(secrets.token_hex(2000))
