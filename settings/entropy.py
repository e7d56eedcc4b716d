"""Estimate the entropy of a secret key, to refuse keys that a person made up.

A character that follows from earlier ones by a simple rule (a sequence, a repetition, a neighbor on the keyboard) adds
nothing. Any other character adds the logarithm of the number of different characters. A random key loses a few bits by
coincidence, a made-up key nearly all. zxcvbn can't replace this: it rates a long sentence higher than token_hex(16).
"""

import base64
import math
import re
from collections.abc import Iterator
from contextlib import suppress

ENOUGH = 64  # bits; secrets.token_hex(16) has about 120 by this estimate, and never fewer than 80
STRIDES = range(1, 9)  # abcd, a1b2c3, 010203, key1key2, abc123def456
WALKS = (
    "abcdefghijklmnopqrstuvwxyz",
    *("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "!@#$%^&*()_+"),
    *("qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "pyfgcrl", "aoeuidhtns", "qjkxbmwvz"),
    *("1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujmikolp"),
)
STEPS = {way[i : i + 3] for walk in WALKS for way in (walk, walk[::-1]) for i in range(len(way) - 2)}
DATES = re.compile(
    r"(19|20)\d\d[-/.]?(0\d|1[0-2])[-/.]?[0-3]\d|[0-3]\d[-/.]?(0\d|1[0-2])[-/.]?(19|20)\d\d|[0-2]\d:[0-5]\d(:[0-5]\d)?"
)
# The hundred most frequent pairs of characters in English text.
PAIRS = frozenset(
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic"
    " ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so rs un"
    " lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh".split()
)


def is_guessable(key: str) -> bool:
    """Return whether a person may have made up the key or copied it from a text."""
    return bits(key) < ENOUGH or any(map(reads_like_language, [key, *_decoded(key)]))


def bits(key: str) -> float:
    """Estimate the entropy of a key."""
    text = DATES.sub("d", key)
    lower = text.lower()
    surprises = sum(not _is_predicted(lower, position) for position in range(len(lower)))
    return surprises * math.log2(len(set(text)) or 1)


def reads_like_language(key: str) -> bool:
    """Return whether nearly half of the pairs of characters are frequent in English, as in English sentences."""
    pairs = [word[i : i + 2] for word in re.split(r"[\W_]+", key) for i in range(len(word) - 1)]
    pairs = [pair for pair in pairs if not pair.isdigit()]
    frequent = [pair for pair in pairs if pair.lower() in PAIRS and (pair[1].islower() or pair.isupper())]
    return len(frequent) >= max(12, 0.42 * len(pairs), 0.27 * len(key))


def _is_predicted(text: str, i: int) -> bool:
    last = text[max(i - 2, 0) : i + 1]
    return len(last) == 3 and (
        text.find(last, 0, i) >= 0
        or last in STEPS
        or text[max(i - 4, 0) : i + 1 : 2] in STEPS
        or any(_goes_on(text, i, stride) for stride in STRIDES)
    )


def _goes_on(text: str, i: int, stride: int) -> bool:
    """Return whether the last two characters continue a sequence of every `stride`-th character."""

    def step(at: int) -> int:
        return _value(text[at]) - _value(text[at - stride])

    return i > 2 * stride and all(step(at) == step(at - stride) for at in (i, i - 1))


def _value(character: str) -> int:
    """Return the value of an ASCII alphanumeric in base 36, or the code point of another character."""
    return int(character, 36) if character.isascii() and character.isalnum() else ord(character)


def _decoded(key: str) -> Iterator[str]:
    """Yield the ASCII texts that the key encodes in hexadecimal or base64."""
    for decode in (bytes.fromhex, lambda text: base64.urlsafe_b64decode(f"{text}==")):
        with suppress(ValueError):
            yield decode(key).decode("ascii")
