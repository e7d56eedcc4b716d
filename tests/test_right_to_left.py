"""Pages that are read from right to left: the same stylesheets mirror them."""

import html
import re
import runpy

import pytest
from support.clients import ROOT, on_sqlite
from support.pages import notes
from support.passkeys import page_of

from app.dev.previews import sample
from app.email.composition import compose
from app.email.rendering import common_values
from app.email.templates import Email
from app.extensions import db
from app.languages import speaking
from app.models import Passkey

STATIC = ROOT / "app/static"
SIDE = r"(?:(?:margin|padding|border|inset)-(?:left|right)|left|right|(?:text-align|float|clear): *(?:left|right))\b"
VALUE = r"[^\s;{}]+"
FOUR_SIDES = rf"(?:margin|padding): ({VALUE}) ({VALUE}) {VALUE} (?!\2[ ;}}]){VALUE}"
SPINNER = "border-right-color: transparent"


@pytest.mark.parametrize("name", ["app.css", "admin.css", "dev.css", "captcha.css"])
def test_own_stylesheets_name_start_and_end_instead_of_left_and_right(name):
    css = (STATIC / name).read_text("utf-8").replace(SPINNER, "")
    rules = [rule for rule in re.findall(r"[^{}]*\{[^{}]*\}", css) if '[dir="rtl"]' not in rule]
    assert [rule for rule in rules if re.search(rf"[\s;{{]{SIDE}|{FOUR_SIDES}", rule)] == []


@pytest.mark.parametrize(
    ("rule", "mirroring"),
    [
        (".a{margin-left:1px;border-right:0}", ".a{margin-inline-start:1px;border-inline-end:0}"),
        (".a{left:0;top:0;float:right}", ".a{inset-inline-start:0;top:0;float:inline-end}"),
        (".a{text-align:left!important}", ".a{text-align:start!important}"),
        (
            ".a{border-top-left-radius:0;border-left-width:0}",
            ".a{border-start-start-radius:0;border-inline-start-width:0}",
        ),
        (".a{padding:1rem 2rem 1rem .5rem}", ".a{padding-block:1rem;padding-inline:.5rem 2rem}"),
        (
            ".a,.b{background-position:right 1em center}",
            ".a,.b{background-position:right 1em center}"
            ":where([dir=rtl]) .a,:where([dir=rtl]) .b{background-position:left 1em center}",
        ),
        (
            ".a{transform:translateX(-50%)}",
            ".a{transform:translateX(-50%)}:where([dir=rtl]) .a{transform:translateX(50%)}",
        ),
        (".a:hover{color:left;--left:1px}", ".a:hover{color:left;--left:1px}"),
        (".bs-tooltip-end{left:0}", ".bs-tooltip-end{left:0}"),
    ],
)
def test_bootstrap_mirrors_itself(rule, mirroring):
    tool = runpy.run_path(str(ROOT / "tools/bootstrap_css.py"))
    assert tool["mirroring"](f"@media(x){{{rule}}}") == f"@media(x){{{mirroring}}}"


def test_icons_that_point_along_the_line_are_mirrored():
    icons = {
        icon.stem for icon in (ROOT / "app/templates/icons").glob("*.svg") if "mirrored" in icon.read_text("utf-8")
    }
    assert icons == {"back", "chevron-right", "log-in", "log-out"}, "not clocks, checks and logos"


@on_sqlite
@pytest.mark.parametrize(("language", "side"), [("en", "left"), ("he", "right")])
def test_each_table_of_an_email_says_where_its_lines_start(app, language, side):
    with speaking(language):
        page = compose(Email.NEW_DEVICE, "a@b.example", common_values() | sample() | {"user": None}).html
    tables = [table for table in re.findall("<table[^>]*>", page) if "width=" not in table]  # not Outlook's
    assert len(tables) > 2
    assert [table for table in tables if f"text-align:{side}" not in table or " dir=" not in table] == []
    assert f"border-{side}:3px" in page, "beside the facts"
    assert re.search('<a [^>]*dir="ltr"[^>]*>http', page), "a URL is read from left to right"


@on_sqlite
@pytest.mark.parametrize("settings", [{"LANGUAGES": ["ar"]}])
@pytest.mark.parametrize("name", ["Phone (2)", "100% %(name)s {{ 7 * 7 }}"])
def test_the_name_of_a_passkey_keeps_its_order_in_a_sentence(client, ada, name):
    db.session.add(Passkey(user_id=ada.id, name="Key", credential_id="x", public_key="x", sign_count=0))
    db.session.commit()
    client.log_in(ada)
    [note] = notes(client.post(page_of(client), data={"name": name}, follow_redirects=True))
    assert f"\u2068{name}\u2069" in note
    assert f"\u2068{name}\u2069" in html.unescape(client.get(f"{page_of(client)}/remove").text)
