"""A language for tests alone: each English message with accents, 40 % longer, within ⟦ ⟧, and read from right to left.

Text outside of ⟦ ⟧ is not marked for translation. Hebrew lends its dates, plural forms and direction.
"""

import re
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_keywords, parse_mapping_cfg
from babel.messages.mofile import write_mo
from playwright.sync_api import FrameLocator, Locator, Page

from support.clients import ROOT

LANGUAGE = "he"
PLAIN = "abcdefghijklmnoprstuwyzABCDEFGHIJKLMNOPRSTUWYZ"
ACCENTED = "áƀçđéƒĝĥíĵķļḿñöþŕšţüŵýžÅƁÇĐÉƑĜĤÍĴĶĻḾÑÖÞŔŠŢÜŴÝŽ"
FILLER, WORD = "ẍ", 6  # no message has this letter
ACCENTS = str.maketrans(PLAIN, ACCENTED)
KEPT = re.compile(r"(<[^>]*>|&#?\w+;|%\(\w+\)[a-z]|%%)")  # tags, entities, placeholders
KEYWORDS = ["_l", "lazy_gettext", "lazy_ngettext:1,2", "lazy_pgettext:1c,2"]  # as in `make translations`


def pseudo(message):
    """Return a message in the language of the tests."""
    parts = KEPT.split(message)
    letters = sum(len(part) for part in parts[::2])
    filler = FILLER * max(1, round(letters * 0.4))
    words = [filler[at : at + WORD] for at in range(0, len(filler), WORD)]
    ending = " ".join(["", *words]) if " " in message.strip() else "".join(words)
    return f"⟦{''.join(part if kept % 2 else part.translate(ACCENTS) for kept, part in enumerate(parts))}{ending}⟧"


def either(text, exact=False):
    """Return a pattern that finds an English text, and what it is in the language of the tests."""
    letters = "".join(_either(letter) for letter in " ".join(text.split()))
    if exact:
        return re.compile(rf"^\s*(?:{letters}|⟦{letters}[{FILLER} ]*⟧)\s*$")
    return re.compile(letters, re.IGNORECASE)


def either_pattern(pattern):
    """Return a pattern of English text so that it finds the language of the tests, too."""
    text = re.sub(r"(?<!\\)[A-Za-z]", lambda letter: _either(letter[0]), pattern.pattern)
    return re.compile(text.replace("^", "^⟦?").replace("$", rf"[{FILLER} ]*⟧?$"), pattern.flags)


def _either(letter):
    if letter == " ":
        return r"\s+"
    return f"[{letter}{letter.translate(ACCENTS)}]" if letter in PLAIN else re.escape(letter)


def write_catalog(folder):
    """Write the catalog of all messages of the application into a folder of translations."""
    catalog = Catalog(locale=LANGUAGE)
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    keywords = DEFAULT_KEYWORDS | parse_keywords(KEYWORDS)
    for *_, message, _, context in extract_from_dir(ROOT / "app", methods, options, keywords):
        catalog.add(message, _translated(message, catalog.num_plurals), context=context)
    content = BytesIO()
    write_mo(content, catalog)
    path = folder / LANGUAGE / "LC_MESSAGES/messages.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.getvalue())


def _translated(message, forms):
    if isinstance(message, str):
        return pseudo(message)
    one, other = map(pseudo, message)
    return (one, *[other] * (forms - 1))


# Text in no message: outside of ⟦ ⟧, which may be in another element. Names and codes stand in elements of their own.
OUTSIDE = """() => {
  const own = "bdi, code, kbd, script, style, noscript, template, [lang]:not(html), .avatar, .codes"
    + ", optgroup, .altcha-error"; // time zones as Babel names them; the reason of a failure
  let depth = 0;
  const outside = (text) => [...text].filter((letter) => {
    if (letter === "⟧") depth -= 1;
    if (letter === "⟦") depth += 1;
    return !depth && letter !== "⟧";
  }).join("");
  const found = [], texts = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());)
    if (!node.parentElement.closest(own)) found.push(outside(node.data));
  if (depth) found.push("a message without its end");
  for (const element of document.querySelectorAll("*")) {
    if (element.closest(own)) continue;
    depth = 0;
    const names = ["aria-label", "title", "placeholder", "alt", "data-label"];
    for (const name of names) found.push(outside(element.getAttribute(name) ?? ""));
  }
  return found;
}"""
NAMES = "Flasky|UTC|Mock provider|Safari|curl|ada|bob|eve|vera|l{64}"
DATA = re.compile(rf"\S+@\S+|https?:\S+|[\w:.]*\d[\w:.]*|\b({NAMES})\b")


def unmarked(frame):
    """Return the texts of a page or an email that no translator sees."""
    texts = [" ".join(DATA.sub(" ", text).split()) for text in frame.evaluate(OUTSIDE)]
    return sorted({text for text in texts if re.search(r"[A-Za-z]{2}", text)})


def understand_both(monkeypatch):
    """Let Playwright find an element by its English name, too."""
    for kind in (Page, Locator, FrameLocator):
        for method in ("get_by_label", "get_by_text"):
            monkeypatch.setattr(kind, method, _finding_both(getattr(kind, method)))
        monkeypatch.setattr(kind, "get_by_role", _finding_role(kind.get_by_role))


def _finding_both(find):
    return lambda self, text, exact=False: find(self, _pattern(text, exact))


def _finding_role(find):
    def find_both(self, role, name="", exact=False, **options):
        return find(self, role, **options | ({"name": _pattern(name, exact)} if name else {}))

    return find_both


def _pattern(text, exact):
    return either(text, exact) if isinstance(text, str) else either_pattern(text)
