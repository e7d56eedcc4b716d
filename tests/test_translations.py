"""Every text of pages and emails is marked for translation, and every catalog is complete."""

import json
import re

import pytest
from jinja2 import Environment, nodes
from support.clients import ROOT

from app.email.templates import Email
from app.extensions import db

TEMPLATES = ROOT / "app" / "templates"
OURS = {"admin", "auth", "errors", "main"}  # folders; pages of development are in English, as the command line is
TEXTS = {"_", "gettext", "ngettext", "pgettext", "npgettext"}
WORDLESS = {"url_for", "asset_url", "is_on", "icon", "link", "selectattr", "rejectattr", "map", "get_template"}
HTML_TEXT_ATTRIBUTES = ("aria-label", "alt", "title", "placeholder", "content")
PROSE = re.compile(r"[A-Z][a-z]+|[a-z]{2,} [a-z]{2,}")
ENGLISH = re.compile(r'<(\w+)\b[^>]* lang="en".*?</\1>|<!--.*?-->|<(script|style)\b.*?</\2>', re.DOTALL)  # by design
# Classes, values of CSS, attributes and their parts, styles.
CODE = re.compile(r'(btn|form-\w+)( .*)?|light dark|code ink|\w+ webauthn|.*\w="[^"]*"?|[; a-z-]*:\S.*', re.DOTALL)


def all_templates():
    """Return our templates. Those of an application may be in one language."""
    pages = [path for path in TEMPLATES.rglob("*.html") if path.parent.name in OURS or path.parent == TEMPLATES]
    emails = [TEMPLATES / "email" / f"{name}.txt" for name in Email]
    emails += [*TEMPLATES.glob("email/_*.txt"), TEMPLATES / "email" / "layout.html"]
    return [str(path.relative_to(TEMPLATES)) for path in sorted(pages + emails)]


def unmarked(source):
    """Return the texts in a template that no translator sees. "Subject: " begins every email and is not sent."""
    source = source.removeprefix("Subject: ")
    return [*_unmarked_data(source), *_unmarked_strings(source)]


def _unmarked_data(source):
    """Texts outside of tags, and the values of attributes that people read or hear."""
    env = Environment(extensions=["jinja2.ext.i18n"])
    page, in_trans = [], False
    for _, kind, value in env.lex(source):
        if kind == "name" and value in {"trans", "endtrans"}:
            in_trans = value == "trans"
        if kind == "data" and not in_trans:
            page.append(value)
        elif kind in {"variable_begin", "block_begin"}:
            page.append("\0")
    html = ENGLISH.sub("", "".join(page))
    for attribute in HTML_TEXT_ATTRIBUTES:
        found = re.findall(rf'\b{attribute}="([^"]*)"', html)
        yield from (text for text in found if PROSE.search(text) and "=" not in text and not CODE.fullmatch(text))
    for text in re.sub(r"<[^>]*>", "\0", html).split("\0"):
        words = " ".join(text.split())
        if re.search(r"[A-Za-z]{2,}", re.sub(r"&\w+;", "", words)) and not CODE.fullmatch(words):
            yield words


def _unmarked_strings(source):
    """String constants of expressions that read like prose."""
    tree = Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.loopcontrols"]).parse(source)
    marked = set()
    for call in tree.find_all((nodes.Call, nodes.Filter, nodes.Test, nodes.Include, nodes.FromImport, nodes.Compare)):
        name = getattr(getattr(call, "node", None), "name", None) or getattr(call, "name", None)
        if isinstance(call, nodes.Include | nodes.FromImport | nodes.Compare) or name in TEXTS | WORDLESS:
            marked.update(id(constant) for constant in call.find_all(nodes.Const))
    for constant in tree.find_all(nodes.Const):
        words = constant.value
        if isinstance(words, str) and PROSE.search(words) and not CODE.fullmatch(words) and id(constant) not in marked:
            yield words


@pytest.mark.parametrize("name", all_templates())
def test_every_text_of_a_template_is_marked(name):
    assert unmarked((TEMPLATES / name).read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Log out</p>", ["Log out"]),
        ("<p>{% trans %}Log out{% endtrans %}</p>", []),
        ("{% trans %}Hello{% endtrans %} there", ["there"]),
        ('<a aria-label="Close menu">{{ icon("close") }}</a>', ["Close menu"]),
        ('{{ input("login", "Email address") }}', ["Email address"]),
        ('{{ input("login", _("Email address")) }}', []),
        ('{{ row("key", "on device" if x else _("Here")) }}', ["on device"]),
        ('<p lang="en" dir="ltr">Run: {{ command }}</p> Then <b lang="en">this</b>', ["Then"]),
        ('<button class="{{ "btn btn-primary" }}"{% if x %} enctype="{{ y }}"{% endif %}>', []),
        ("{# A comment #}{{ url_for('auth.login') }}&nbsp;·", []),
    ],
)
def test_the_check_of_templates_bites(source, found):
    assert unmarked(source) == found


@pytest.fixture
def settings():
    return {"LANGUAGES": ["en", "de", "ar"]}


@pytest.mark.parametrize(
    ("accepted", "cookie", "language", "direction"),
    [
        ("", "", "en", "ltr"),
        ("de-AT,en;q=0.5", "", "de", "ltr"),
        ("fr,ar;q=0.5", "", "ar", "rtl"),
        ("de", "ar", "ar", "rtl"),
        ("de", "fr", "de", "ltr"),
    ],
)
def test_a_visitor_reads_the_language_of_the_cookie_or_of_the_browser(client, accepted, cookie, language, direction):
    client.set_cookie("language", cookie)
    page = client.get("/auth/login", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}" dir="{direction}"' in page.text
    assert {"accept-language", "cookie"} <= {name.lower() for name in page.vary}


def test_an_error_in_plain_text_varies_like_a_page(client):
    refused = client.get("/", headers={"Host": "evil.example", "Accept-Language": "de"})
    assert (refused.mimetype, "Diese Website" in refused.text) == ("text/plain", True)
    assert {"accept-language", "cookie"} <= {name.lower() for name in refused.vary}


@pytest.mark.parametrize("settings", [{"LANGUAGES": ["de"]}])
def test_with_one_language_pages_do_not_vary(client):
    page = client.get("/auth/login", headers={"Accept-Language": "en"})
    assert '<html lang="de"' in page.text
    assert "Accept-Language" not in page.vary


def test_the_language_of_the_account_comes_first(client, ada):
    ada.language = "ar"
    db.session.commit()
    client.log_in(ada)
    client.set_cookie("language", "de")
    assert '<html lang="ar" dir="rtl"' in client.get("/account").text


def test_one_process_serves_each_reader_in_their_language(client):
    def title(language):
        page = client.get("/auth/login", headers={"Accept-Language": language}).text
        return page.partition("<title>")[2].partition("<")[0], page.partition("<h1>")[2].partition("<")[0]

    english, german = title("en"), title("de")
    assert not set(english) & set(german), "a constant text, and one with a variable"
    assert [title(language) for language in ("en", "de", "en")] == [english, german, english]


def test_scripts_speak_the_language_of_the_page(client):
    page = client.get("/auth/login", headers={"Accept-Language": "de"})
    [address] = re.findall(r'src="([^"]*/de/site\.js)"', page.text)
    script = client.get(address).get_data(as_text=True)
    said = json.loads(script.partition("=")[2].partition(";\n")[0])
    assert {"Dismiss this message", "Checking…", "Too short."} < said.keys()
    assert "globalThis.translations=" not in client.get(re.search(r'src="([^"]*site\.js)"', english(client))[1]).text
    assert client.get(address.replace("/de/", "/xx/")).status_code == 404


def english(client):
    return client.get("/auth/login").text


@pytest.mark.parametrize("script", ["app.js", "captcha.js", "history.js", "passkeys.js", "webauthn.js"])
def test_every_text_of_a_script_is_marked(script):
    source = re.sub(r"^\s*//.*", "", (ROOT / "app" / "static" / script).read_text(), flags=re.MULTILINE)
    source = re.sub(r'\b(_|gettext)\("[^"]*"\)', "", source)
    names = {"Escape"} | set(re.findall(r'"([A-Z]\w+Error)"', source))
    assert set(re.findall(r'["`]([A-Z][a-z][^"`]*)["`]', source)) - names == set()
