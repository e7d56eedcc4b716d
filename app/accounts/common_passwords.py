"""Long passwords that everybody thinks of: phrases, plain words and walks over the keyboard.

An estimate of guesses finds what is common among short ones, but takes a well-known phrase for several random words.
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

PHRASES = Path(__file__).with_name("common_phrases.txt")
SIMPLE_WORDS = 5  # so many of WORDS in a row are guessed as easily as one unusual word
LONGEST_WORD = 14  # emails
MIN_WALK = 9  # characters; shorter ones are left to the estimate
ROWS = ("1234567890-=", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./")
COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
SHIFTED = str.maketrans('!@#$%^&*()_+{}|:"<>?', "1234567890-=[]\\;',./")
LOOK_ALIKES = str.maketrans("@4$5!103+78", "aassiioettb")

# The symbols that zxcvbn tries as emails, and one of each kind.
SUBSTITUTES = frozenset("4@8({[<369!1|70$5+%2")
MAX_SUBSTITUTES = 3
ONE_OF_A_KIND = str.maketrans("@{[<!|$+", "4(((1157")

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


def is_common(password: str) -> bool:
    """Say whether this is a well-known phrase, a few of the simplest words, or a walk over the keyboard.

    Case, spaces, look-alikes (`p@ssw0rd`) and what stands before and behind the emails make no difference.
    """
    lower = password.lower()
    readings = {_once(emails) for emails in _readings(lower)}
    return _is_walk(lower) or any(emails in _phrases() or _is_simple(emails) for emails in readings)


def with_few_substitutions(password: str) -> str:
    """Return the password with one symbol for each character that several can stand for, if it has many of them.

    zxcvbn tries every combination, of which there can be 576; this leaves 12 at most.
    """
    is_dear = len(SUBSTITUTES & set(password)) > MAX_SUBSTITUTES
    return password.translate(ONE_OF_A_KIND) if is_dear else password


def _readings(password: str) -> set[str]:
    """Return the emails of a password, as they stand and with look-alikes read as emails."""
    places = [place for place, character in enumerate(password) if character.isalpha()]
    core = password[places[0] : places[-1] + 1] if places else ""
    texts = {core, *(text.translate(LOOK_ALIKES) for text in (core, core.replace("1", "l"), password))}
    return {re.sub(r"[\W\d_]+", "", text) for text in texts}


def _once(emails: str) -> str:
    """Return what is repeated, if all of the text is repetitions of it."""
    return emails[: (emails + emails).find(emails, 1)]


@cache
def _phrases() -> frozenset[str]:
    return frozenset(line.replace(" ", "") for line in PHRASES.read_text().splitlines())


def _is_simple(emails: str) -> bool:
    """Say whether this can be read as so few of the simplest words in a row."""
    if not 0 < len(emails) <= SIMPLE_WORDS * LONGEST_WORD:
        return False
    fewest = [0]  # words that make up the emails so far
    for end in range(1, len(emails) + 1):
        starts = range(max(0, end - LONGEST_WORD), end)
        fewest.append(min((fewest[start] + 1 for start in starts if emails[start:end] in WORDS), default=99))
    return fewest[-1] <= SIMPLE_WORDS


def _is_walk(password: str) -> bool:
    """Say whether most characters stand beside the one before on a keyboard, follow it in the alphabet, or repeat it.

    Two walks that take turns (`1a2b3c4d`) are one, too.
    """
    keys = password.translate(SHIFTED)
    steps = sum(pair in _neighbours() or pair[0] == pair[1] for pair in pairwise(keys))
    in_turns = sum(pair in _neighbours() for pair in pairwise(keys[::2] + keys[1::2]))
    return len(keys) >= MIN_WALK and max(steps, in_turns) >= 0.65 * (len(keys) - 1)


@cache
def _neighbours() -> frozenset[tuple[str, str]]:
    """Return the pairs of keys that touch in a row, a column or a slant, in either direction, and of the alphabet."""
    slants = [zip(upper[1:], lower, strict=False) for upper, lower in pairwise(ROWS)]
    lines = [*map(pairwise, (*ROWS, *COLUMNS, ALPHABET)), *slants]
    pairs = {pair for line in lines for pair in line}
    return frozenset(pairs | {(second, first) for first, second in pairs})
