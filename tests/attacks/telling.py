"""Attacks by observation: what responses and their timing reveal about accounts."""

import base64
import re
import zlib
from io import BytesIO
from itertools import count, islice
from math import comb
from statistics import median
from zipfile import ZipFile

from targets import CHEAP, Outcome, Stranger

PAIRS = 30
TELLING = 2  # times as long. What a busy machine makes of two equal answers stays below, as the median of 30 pairs.

FORMS = {
    "login": ("/auth/login", {"login": "{}@example.com", "password": "wrong"}),
    "reset": ("/auth/reset", {"email": "{}@example.com"}),
    "magic link": ("/auth/magic-link", {"email": "{}@example.com"}),
}
BY_NAME = {"login by name": ("/auth/login", {"login": "{}", "password": "wrong"})}
DIFFERS_ANYWAY = [
    (r'name="csrf_token" value="[^"]*"', "a token"),
    (r"(\d{4}-\d\d-\d\dT)?\d\d:\d\d(:\d\d)?", "a time"),
    (r'data-wait="\d+"|\d+ (hour|minute|second)s?|a minute', "a while"),
    (r"[\w-]{40,}", "a random word"),
    (r'error number <code dir="ltr">\w+</code>', "an error number"),
]
ONLY_THERE = {"Content-Length", "Date", "Retry-After", "X-Process", "X-Request-ID"}

numbers = count()  # of names


def bodies(target):
    """A name that has an account and one that has none, seven times each: status, headers and page are to be alike."""
    for flow, (path, fields) in (BY_NAME | FORMS).items():
        [pair] = _pairs(target, 1, CHEAP)
        seen = [_seven_answers(target.site, path, fields, name) for name in pair]
        different = sum(one != other for one, other in zip(*seen, strict=True))
        yield Outcome(f"who has an account, by what is said: {flow}", len(seen[0]), different)


def times(target):
    """How long the answer takes, known and unknown by turns, each name used once: with the real hash."""
    for flow, (path, fields) in FORMS.items():
        measured = []
        for number, pair in enumerate(_pairs(target, PAIRS, target.real_hash)):
            order = 1 if number % 2 else -1
            measured.append(_seconds(target.site_with_real_hash, path, fields, pair[::order])[::order])
        ratio = median(known / unknown for known, unknown in measured)
        is_told = max(ratio, 1 / ratio) > TELLING
        told = f"{ratio:.2f} times as long, p = {_sign_test(measured):.2g}"
        yield Outcome(f"who has an account, by time: {flow}", PAIRS, PAIRS if is_told else 0, told=told)


def exporting(target):
    """A user's export, after strangers asked for a link to the account or typed a wrong password."""
    target.add(["exporter"])
    strangers = [Stranger(target.site).saying(User_Agent=f"Strange/{number}") for number in range(len(FORMS))]
    for stranger, (path, fields) in zip(strangers, FORMS.values(), strict=True):
        stranger.submit(path, **{field: value.format("exporter") for field, value in fields.items()})
    user = Stranger(target.site)
    assert user.log_in("exporter").status == 302
    held = _unpacked(user.submit("/auth/export").body)
    assert user.network in held, "it says where the user is"
    through = sum(stranger.network in held or stranger.headers["User-Agent"] in held for stranger in strangers)
    yield Outcome("where strangers are, by a user's export", len(strangers), through)


def _unpacked(body):
    with ZipFile(BytesIO(body)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def _pairs(target, amount, method):
    """Pairs of a name that has an account and one that has none, all of one length."""
    pairs = [(f"known{number:05}", f"other{number:05}") for number in islice(numbers, amount)]
    target.add([known for known, _ in pairs], method=method)
    return pairs


def _seven_answers(site, path, fields, name):
    """From one network: so the answers are seen, too, that a limit gives."""
    first, seen = Stranger(site), []
    for _ in range(7):
        browser = Stranger(site, first.network)
        answer = browser.submit(path, **{field: value.format(name) for field, value in fields.items()})
        pages = [answer]
        if there := answer.headers["Location"]:
            pages.append(browser.get(there))
        seen.append([_what_counts(page, name) for page in pages])
    return seen


def _what_counts(answer, name):
    """An answer without what differs between any two."""
    headers = []
    for header, value in answer.headers.items():
        if header == "Set-Cookie":
            value = re.sub(r"(session[\w-]*=)([^;]+)", lambda found: found[1] + _readable(found[2]), value)
        headers.append((header, None if header in ONLY_THERE else _plain(value, name)))
    return answer.status, sorted(headers, key=str), _plain(answer.text, name)


def _readable(session):
    """What Flask's cookie says: it is signed, not hidden."""
    payload = base64.urlsafe_b64decode(session.lstrip(".").split(".")[0] + "==")
    return (zlib.decompress(payload) if session.startswith(".") else payload).decode()


def _plain(text, name):
    text = text.replace(name, "somebody")
    for pattern, word in DIFFERS_ANYWAY:
        text = re.sub(pattern, word, text)
    return text


def _seconds(site, path, fields, names):
    browser = Stranger(site)
    token = browser.get(path).token
    forms = [{field: value.format(name) for field, value in fields.items()} for name in names]
    answers = [browser.copy().post(path, csrf_token=token, **form) for form in forms]
    assert {answer.status for answer in answers} <= {302, 422}
    return [answer.seconds for answer in answers]


def _sign_test(pairs):
    """How likely it is by chance that so many pairs lean to one side."""
    above = sum(known > unknown for known, unknown in pairs)
    fewer = min(above, len(pairs) - above)
    return min(1, 2 * sum(comb(len(pairs), number) for number in range(fewer + 1)) / 2 ** len(pairs))
