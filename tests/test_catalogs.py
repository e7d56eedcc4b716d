"""The catalogs of the languages: whole, right, and compiled; and an owner's own, which come first."""

import io
import re
import shutil
import subprocess
import sys
from functools import cache

import pytest
from babel.messages import Catalog, extract
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask_babel import ngettext
from support.clients import ROOT, on_sqlite
from support.emails import send_whole
from support.ours import lines_of_owners_fields
from support.repository import tracked

from app import languages
from app.email.templates import Email
from app.extensions import db

CATALOGS = sorted((ROOT / "app" / "translations").glob("*/LC_MESSAGES/messages.po"))
KEYWORDS = extract.DEFAULT_KEYWORDS | {
    "_l": None,
    "lazy_gettext": None,
    "lazy_pgettext": ((1, "c"), 2),
    "lazy_ngettext": (1, 2),
}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|</?\w+[^>]*>")
of_each_language = pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.parent.parent.name)


def read(path):
    return read_po(io.BytesIO(path.read_bytes()), locale=path.parent.parent.name)


def faults(message):
    """Yield what is wrong with a translation."""
    ids = message.id if isinstance(message.id, tuple) else (message.id,)
    translations = message.string if isinstance(message.string, tuple) else (message.string,)
    if message.fuzzy:
        yield "fuzzy"
    wanted = sorted(PLACEHOLDER.findall(ids[-1]))
    for text in translations:
        found = sorted(PLACEHOLDER.findall(text))
        is_number_left_out = len(ids) > 1 and set(wanted) - set(found) <= {"%(num)d", "%(num)s", "%(count)s"}
        if not text.strip():
            yield "missing"
        elif found != wanted and not (is_number_left_out and set(found) <= set(wanted)):
            yield f"{text!r} has {found} for {wanted}"
        elif (text[:1].isspace(), text[-1:].isspace()) != (ids[-1][:1].isspace(), ids[-1][-1:].isspace()):
            yield f"{text!r} begins or ends with another space"


@of_each_language
def test_every_translation_is_right(path):
    ours = [message for message in read(path) if (message.context, message.id) in extracted()[0]]
    found = {message.id: list(faults(message)) for message in ours}
    assert {text: wrong for text, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("translation", "wrong"),
    [
        ("Abmelden von %(app)s", ""),
        ("", "missing"),
        ("Abmelden von %(site)s", "has"),
        ("Abmelden", "has"),
        ("Abmelden von %(app)s ", "space"),
        ("<b>Abmelden</b> von %(app)s", "has"),
    ],
)
def test_the_check_of_translations_bites(translation, wrong):
    catalog = read_po(io.StringIO(f'msgid "Log out of %(app)s"\nmsgstr "{translation}"\n'), locale="de")
    assert (
        (wrong in str(list(faults(catalog["Log out of %(app)s"]))))
        if wrong
        else not list(faults(catalog["Log out of %(app)s"]))
    )


@cache
def extracted():
    """Return the message ids that `make translations` extracts: ours, and those of an owner's emails and fields."""
    with (ROOT / "babel.cfg").open() as mapping:
        methods, options = parse_mapping_cfg(mapping)
    ours, others, theirs = set(), set(), lines_of_owners_fields()
    for name, line, text, _, context in extract.extract_from_dir(ROOT / "app", methods, options, KEYWORDS, []):
        email = re.fullmatch(r"templates/email/([a-z]\w*)\.txt", name)
        is_theirs = email[1] not in {*Email} if email else name == "auth/registration_forms.py" and line in theirs
        (others if is_theirs else ours).add((context, text))
    return ours, others


@of_each_language
def test_every_text_has_a_translation_and_no_translation_is_left_over(path):
    translated = {(message.context, message.id) for message in read(path) if message.id}
    ours, others = extracted()
    assert ours - translated == translated - ours - others == set(), "run make translations, and translate"


@of_each_language
def test_the_compiled_catalog_is_that_of_the_text(path):
    compiled = io.BytesIO()
    write_mo(compiled, read(path))
    assert compiled.getvalue() == path.with_suffix(".mo").read_bytes(), "run make translations"


def test_make_translations_extracts_what_the_tests_know():
    recipe = (ROOT / "Makefile").read_text()
    given = re.findall(r"--keyword (\S+)", recipe)
    assert {word.partition(":")[0] for word in given} == KEYWORDS.keys() - extract.DEFAULT_KEYWORDS.keys()


OWN_ENGLISH = 'msgid ""\nmsgstr "Language: en\\n"\n\nmsgid "Forgot password?"\nmsgstr "No idea?"\n'
OWN_ENGLISH += '\nmsgid "Hide"\nmsgstr "Got it"\n'
OWN_FRENCH = (
    'msgid ""\nmsgstr "Language: fr\\nPlural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'
    'msgid "Forgot password?"\nmsgstr "Mot de passe oublié ?"\n'
)
OF_A_PACKAGE = 'msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "Your garden"\nmsgstr "Dein Garten"\n'
ASK = """
import re
from flask_babel import gettext
from app import create_app
app = create_app("development", SQLALCHEMY_DATABASE_URI="sqlite://", MAIL_DELIVERY="off")
client = app.test_client()
with app.test_request_context(headers={"Accept-Language": "de"}):
    print(gettext("Your garden"))
for language in ("en", "fr", "de"):
    print(client.get("/auth/login", base_url="http://localhost:5000", headers={"Accept-Language": language}).text)
script = re.search('"([^"]*site.js)"', client.get("/auth/login", base_url="http://localhost:5000").text)[1]
print(client.get(script, base_url="http://localhost:5000").text)
print(create_app("testing").test_client().get("/auth/login").text)
"""


@pytest.mark.extended
def test_an_owner_adds_a_language_and_another_sentence_in_files_of_their_own(tmp_path):
    """docs/translating.md: nothing of ours is edited, and our tests don't notice."""
    for path in tracked():
        name = path.relative_to(ROOT)
        if name.parts[0] in {"app", "settings", "config.py", "translations"}:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name)
    for folder, text in (
        ("translations/en", OWN_ENGLISH),
        ("translations/fr", OWN_FRENCH),
        ("app/garden/translations/de", OF_A_PACKAGE),
    ):
        catalog = tmp_path / folder / "LC_MESSAGES" / "messages.po"
        catalog.parent.mkdir(parents=True)
        catalog.write_text(text, "utf-8")
        with catalog.with_suffix(".mo").open("wb") as compiled:
            write_mo(compiled, read(catalog))
    env = {"PATH": "", "LANGUAGES": "en,fr,de", "PYTHONIOENCODING": "utf-8"}
    said = subprocess.run(
        [sys.executable, "-c", ASK], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    pages = said.stdout.split("<!doctype html>")[1:]
    assert ["No idea?" in page for page in pages] == [True, False, False, False]
    assert ["Mot de passe oublié ?" in page for page in pages] == [False, True, False, False]
    assert "Got it" in said.stdout, "in the scripts, too"
    assert "Dein Garten" in said.stdout, "in a package of theirs"
    assert "Forgot password?" in pages[3], "the tests use our sentences"


# Plurals: which of its forms a language uses for a number

FORMS = {"ar": {0: 0, 1: 1, 2: 2, 3: 3, 11: 4, 100: 5}, "de": {0: 1, 1: 0, 2: 1, 3: 1, 11: 1, 100: 1}}
HEADING = "%(count)s device is logged in", "%(count)s devices are logged in"
OWN_HEADING = [f"form {number} of %(count)s" for number in range(6)]


@pytest.fixture(params=["", "other", "plural"])
def own(request, tmp_path):
    """An owner's folder of catalogs whose headers are not complete: none, or one that has a text or this plural."""
    for language in {*FORMS} if request.param else ():
        catalog, folder = Catalog(), tmp_path / "own" / language / "LC_MESSAGES"
        count = len({*FORMS[language].values()})
        catalog.add(*((HEADING, OWN_HEADING[:count]) if request.param == "plural" else ("Create account", "Join")))
        folder.mkdir(parents=True)
        with (folder / "messages.mo").open("wb") as compiled:
            write_mo(compiled, catalog)
    return request.param


@pytest.fixture
def settings(own, tmp_path):
    return {"LANGUAGES": ["en", "de", "ar"], "BABEL_TRANSLATION_DIRECTORIES": f"translations;{tmp_path / 'own'}"}


def forms(language, message):
    path = ROOT / "app" / "translations" / language / "LC_MESSAGES" / "messages.po"
    return read(path)[message].string


@on_sqlite
@pytest.mark.parametrize("language", FORMS)
def test_a_number_takes_the_form_of_its_language(app, own, language):
    wanted = OWN_HEADING if own == "plural" else forms(language, HEADING)
    with languages.speaking(language):
        found = {count: ngettext(*HEADING, count, count=count) for count in FORMS[language]}
    assert found == {count: wanted[form] % {"count": count} for count, form in FORMS[language].items()}


@on_sqlite
def test_a_number_takes_the_form_of_english_where_there_is_no_catalog(app):
    with languages.speaking("en"):
        assert [ngettext("%(num)d code left", "%(num)d codes left", count) for count in (0, 1, 2)] == [
            "0 codes left",
            "1 code left",
            "2 codes left",
        ]


@on_sqlite
def test_a_page_and_an_email_use_the_form_of_their_number(browser_at, ada, own, outbox):
    ada.language = "ar"
    db.session.commit()
    browsers = [browser_at() for _ in range(4)]
    for browser in browsers:
        browser.log_in(ada)
    heading = OWN_HEADING[3] if own == "plural" else forms("ar", HEADING)[3]
    assert f'<h2 id="logged-in">{heading % {"count": 4}}</h2>' in browsers[0].get("/auth/devices").text
    send_whole(Email.RECOVERY_CODES_FEW, ada)
    subjects = [f"You have %(count)s %(app_name)s recovery {codes} left" for codes in ("code", "codes")]
    assert outbox()[-1].subject == forms("ar", tuple(subjects))[3] % {"count": 3, "app_name": "Flasky"}
