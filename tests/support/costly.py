"""Requests that some code takes far longer for than for others of their length, for tests and for `make bench`."""

# What some code takes far longer for than for other text of its length: name -> length -> text


def repeated(*parts):
    """Make text of a given length: each part in turn, repeated over its share of it."""
    return lambda length: "".join((part * length)[: length // len(parts)] for part in parts)


COSTLY = {
    "marks": lambda length: "a" + repeated("\u0307", "\u0323")(length - 8) + "@x.de",
    "marks in a domain": lambda length: "a@b" + repeated("\u0307", "\u0323")(length - 8) + ".de",
    "marks alone": repeated("\u0323", "\u0307", "\u0301", "\u0315"),
    "jamo": repeated("\u1112\u1161\u11ab"),
    "ligatures": lambda length: "a@" + "\ufdfa" * (length - 5) + ".de",
    "labels": lambda length: "a@" + "ü." * (length // 2) + "de",
    "digits of another script": lambda length: "a@" + "\u0660" * length,
    "katakana dots": lambda length: "a@" + "\u30fb" * length,
    "dots": lambda length: "a." * (length // 2) + "@x.de",
    "quoted": lambda length: '"' + "\\a" * (length // 2) + '"@x.de',
    "at signs": repeated("@"),
    "spaces": lambda length: "a" + " " * (length - 2) + "b",
    "substitutions": repeated("a4@8({[<369!1|70$5+%2z"),
    "one email": repeated("a"),
    "dates": repeated("1.1.2000"),
    "years": repeated("19911991"),
    "keys": repeated("qwertyuiopasdfghjklzxcvbnm"),
    "words": repeated("password"),
    "digits": repeated("9"),
    "arrays": repeated("["),
    "objects": repeated('{"a":'),
    "brackets": repeated("("),
    "backslashes": repeated("\\"),
    "quotes": repeated("'\"<>&"),
    "tokens": repeated("eyJ", "-", "."),
    "segments": lambda length: "/" + "../a/" * (length // 5),
    "percents": lambda length: "/" + "%2525" * (length // 5),
    "emoji": repeated("\U0001f468\u200d"),
}

# Forms, and other bodies: name -> text, or text and content type

MANY = {
    "names": "a&" * 31_000,
    "values": "login=&" * 9_000,
    "held": "held-a&" * 9_000,
    "nothing": "&" * 63_000,
    "percents": "a=" + "%41" * 21_000,
    "one long name": "a" * 63_000,
}
PART, PARTS = '--b\r\nContent-Disposition: form-data; name="login"\r\n\r\nx\r\n', "multipart/form-data; boundary=b"
BODIES = {name: (body, "application/x-www-form-urlencoded") for name, body in MANY.items()} | {
    "parts": (PART * 1_000 + "--b--", PARTS),
    "files": (PART.replace("login", 'a"; filename="a') * 800 + "--b--", PARTS),
    "line breaks": (PART[:-3] + "\r\n" * 31_000, PARTS),
    "arrays": ("[" * 63_000, "application/json"),
}

# Headers

HEADERS = ["ACCEPT", "ACCEPT_ENCODING", "ACCEPT_LANGUAGE", "AUTHORIZATION", "CACHE_CONTROL", "COOKIE"]
HEADERS += ["FORWARDED", "IF_MATCH", "IF_NONE_MATCH", "IF_RANGE", "IF_MODIFIED_SINCE", "ORIGIN", "RANGE", "REFERER"]
HEADERS += ["SEC_PURPOSE", "USER_AGENT", "X_CSRFTOKEN", "X_FORWARDED_FOR", "X_REAL_IP"]
VALUES = {
    "commas": "a," * 4_000,
    "parameters": "a/b" + ";a=b" * 2_000,
    "cookies": "a=b;" * 2_000,
    "semicolons": ";" * 8_000,
    "ranges": "bytes=" + "0-0," * 2_000,
    "tags": 'W/"a",' * 1_300,
    "quotes": '"' * 8_000,
    "backslashes": 'a="' + "\\000" * 2_000,
    "versions": "Mozilla/5.0 (" + "Android 1.1; " * 600,
    "digits": "9" * 8_000,
    "too much": "a," * 31_000,
}


def form(fields):
    """The body of a form as short as it can be: bytes that need not be escaped are not."""
    special = {ord(character): f"%{ord(character):02x}" for character in "%&=+;"}
    body = "&".join(f"{name}={value.translate(special)}" for name, value in fields.items()).encode()
    return body[:65_000]
