"""Password strength: the length of new passwords, common ones, keyboard walks, and an estimate of the guesses."""

import re
import threading
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.security import pwned_passwords
from app.security.hashing import MAX_PASSWORD_LENGTH

HINT = _l("At least %(shortest)d characters. Avoid names and common words.")  # below the field
EASY = _l("This password is easy to guess.")
ADD_WORDS = _l("Add another word or two. Uncommon words are better.")
WARNINGS = {  # by how the sentences of zxcvbn begin, which exist in English only
    "Straight rows": _l("Straight rows of keys are easy to guess."),
    "Short keyboard": _l("Short keyboard patterns are easy to guess."),
    'Repeats like "aaa"': _l('Repeats like "aaa" are easy to guess.'),
    "Repeats": _l('Repeats like "abcabcabc" are only slightly harder to guess than "abc".'),
    "Sequences": _l('Sequences like "abc" or "6543" are easy to guess.'),
    "Recent years": _l("Recent years are easy to guess."),
    "Dates": _l("Dates are often easy to guess."),
    "This is a top-10 ": _l("This is a top-10 common password."),
    "This is a top-100 ": _l("This is a top-100 common password."),
    "This is a very common": _l("This is a very common password."),
    "This is similar": _l("This is similar to a commonly used password."),
    "A word by itself": _l("A word by itself is easy to guess."),
    "Names and surnames": _l("Names and surnames by themselves are easy to guess."),
    "Common names": _l("Common names and surnames are easy to guess."),
}
SCORED_LENGTH = 32  # characters; scoring time grows with the square of the length
MIN_SCORE = 2  # zxcvbn: more than 10^6 guesses
SCORING = threading.Lock()  # zxcvbn keeps the user's words in a module variable
PHRASES = Path(__file__).with_name("common_phrases.txt")
SIMPLE_WORDS = 5  # this many WORDS in a row are as easy to guess as one unusual word
MAX_WORD_LENGTH = 14  # characters
MIN_WALK = 9  # characters; zxcvbn recognises shorter ones
ROWS = ("1234567890-=", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./")
COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
SHIFTED = str.maketrans('!@#$%^&*()_+{}|:"<>?', "1234567890-=[]\\;',./")
LOOK_ALIKES = str.maketrans("@4$5!103+78", "aassiioettb")

# Symbols that zxcvbn reads as one of a-z, and a table that keeps one symbol for each of a-z.
SUBSTITUTES = frozenset("4@8({[<369!1|70$5+%2")
MAX_SUBSTITUTES = 3
ONE_SYMBOL_EACH = str.maketrans("@{[<!|$+", "4(((1157")

WORDS = frozenset(
    """
    a about account admin administrator administrators again all always am an and angel april are at august autumn
    baby bad be best big birthday black bless blue boy boyfriend brother but can cat change changeme christ
    christmas close come computer dad dads daughter day days december default do does dog dont door email enter ever
    everything facebook fall family father february first five for forever four friday friend friends from fun get
    girl girlfriend go god goes going good google got great green guess happy hard has hate have he heart heaven
    hello her here hi him his home house how husband i im in internet is it its january jesus job july june just key
    king kitty know let life like little live lock log login long lord love loves loving mad make man march mary
    master may me merry mom moms monday money more most mother much mum must my name need never new night nine no
    not nothing november now october of old on one only open or our out pass passcode passphrase passwd password
    passwords people please prince princess puppy queen qwerty really red safe saturday say school secret secure
    security september seven she sister six so some son spring star strong summer sunday super sweet system ten test
    testing thank that the their them then there they thing think this three thursday time to today together
    tomorrow too true trust tuesday two up us user username very want was we wednesday welcome what when where white
    who why wife will win winter with woman word work world year years yes you young your zero
    """.split()
)


def check(password: str, *words: str | None) -> None:
    """Check the length of a new password, and then each of CHECKS (NIST SP 800-63B-4, 3.1.1.2).

    Args:
        words: the user's own words, such as the username, which an attacker would try first.

    Raises:
        ValueError: the password is refused. The message is for the user.
    """
    shortest = current_app.config["PASSWORD_MIN_LENGTH"]
    if len(password) < shortest:
        raise ValueError(_("Use at least %(number)d characters.", number=shortest))
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError(_("Use at most %(number)d characters.", number=MAX_PASSWORD_LENGTH))
    own_words = [word for word in (*words, current_app.config["APP_NAME"]) if word]
    for rule in CHECKS:
        rule(password, own_words)


def check_common(password: str, own_words: Sequence[str]) -> None:
    if is_common(password):
        raise ValueError(_("This password is easy to guess. Many people use phrases or patterns like this."))


def check_guesses(password: str, own_words: Sequence[str]) -> None:
    if reason := _weakness(password, [part for word in own_words for part in _parts(word)]):
        raise ValueError(f"{EASY} {reason}")


def _weakness(password: str, words: list[str]) -> str | None:
    """Return why the password is easy to guess, or None. This takes a few milliseconds."""
    from zxcvbn import zxcvbn  # its word lists take 12 MiB, which most commands do not need

    scored = with_few_substitutions(password[:SCORED_LENGTH])
    with SCORING:
        result = zxcvbn(scored, user_inputs=words)
    if result["score"] >= MIN_SCORE:
        return None
    warning = result["feedback"]["warning"]
    return str(next((words for start, words in WARNINGS.items() if warning.startswith(start)), ADD_WORDS))


def _parts(word: str) -> list[str]:
    """Return a name or an email address, and its parts with and without leading and trailing digits."""
    parts = [word, *re.split(r"[^a-zA-Z0-9]+", word)]
    return [part for whole in parts for part in {whole, whole.strip("0123456789")} if len(part) > 2]


def is_common(password: str) -> bool:
    """Return whether this is a well-known phrase, a few common words, or a keyboard walk.

    Case, spaces, look-alikes (`p@ssw0rd`), and digits and symbols at the start and the end are ignored.
    """
    lower = password.lower()
    readings = {_once(reading) for reading in _readings(lower)}
    return _is_walk(lower) or any(reading in _phrases() or _is_simple(reading) for reading in readings)


def with_few_substitutions(password: str) -> str:
    """Keep only one look-alike symbol for each of a-z, in a password with many of them.

    zxcvbn tries all combinations of substitutions: up to 576, and at most 12 after this.
    """
    is_costly = len(SUBSTITUTES & set(password)) > MAX_SUBSTITUTES
    return password.translate(ONE_SYMBOL_EACH) if is_costly else password


def _readings(password: str) -> set[str]:
    """Return a password without digits and symbols, as entered and with look-alikes replaced."""
    places = [place for place, character in enumerate(password) if character.isalpha()]
    core = password[places[0] : places[-1] + 1] if places else ""
    texts = {core, *(text.translate(LOOK_ALIKES) for text in (core, core.replace("1", "l"), password))}
    return {re.sub(r"[\W\d_]+", "", text) for text in texts}


def _once(text: str) -> str:
    """Return the shortest part of which the text is a repetition: the text itself if it does not repeat."""
    return text[: (text + text).find(text, 1)]


@cache
def _phrases() -> frozenset[str]:
    return frozenset(line.replace(" ", "") for line in PHRASES.read_text().splitlines())


def _is_simple(text: str) -> bool:
    """Return whether the text consists of at most SIMPLE_WORDS common words."""
    if not 0 < len(text) <= SIMPLE_WORDS * MAX_WORD_LENGTH:
        return False
    fewest = [0]  # the smallest number of words that make up the text before each position
    for end in range(1, len(text) + 1):
        starts = range(max(0, end - MAX_WORD_LENGTH), end)
        fewest.append(min((fewest[start] + 1 for start in starts if text[start:end] in WORDS), default=99))
    return fewest[-1] <= SIMPLE_WORDS


def _is_walk(password: str) -> bool:
    """Return whether most characters repeat their predecessor, or are next to it on the keyboard or in the alphabet.

    Two alternating walks (`1a2b3c4d`) count as one.
    """
    keys = password.translate(SHIFTED)
    steps = sum(pair in _neighbours() or pair[0] == pair[1] for pair in pairwise(keys))
    alternating = sum(pair in _neighbours() for pair in pairwise(keys[::2] + keys[1::2]))
    return len(keys) >= MIN_WALK and max(steps, alternating) >= 0.65 * (len(keys) - 1)


@cache
def _neighbours() -> frozenset[tuple[str, str]]:
    """Return the pairs of adjacent keys, in rows, columns and diagonals, and of adjacent a-z, in both directions."""
    diagonals = [zip(upper[1:], lower, strict=False) for upper, lower in pairwise(ROWS)]
    lines = [*map(pairwise, (*ROWS, *COLUMNS, ALPHABET)), *diagonals]
    pairs = {pair for line in lines for pair in line}
    return frozenset(pairs | {(second, first) for first, second in pairs})


# Each raises ValueError, with a message for the user. An application can add its own, and remove ours.
CHECKS = [check_common, check_guesses, pwned_passwords.check]
