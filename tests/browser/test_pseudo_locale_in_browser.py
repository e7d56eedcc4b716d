"""Every page in a language of tests alone: words are longer, and read from right to left (support/pseudo_locale.py)."""

import pytest
from support.layout import broken_words
from support.pseudo_locale import LANGUAGE, pseudo, understand_both, unmarked, write_catalog
from support.tour import TOUR, go

from app.email.templates import Email

PHONE, DESKTOP = {"width": 320, "height": 640}, {"width": 1100, "height": 800}
CURRENT_PAGE_IS_HIDDEN = """() => [...document.querySelectorAll(".side [aria-current]")]
  .map((tab) => tab.getBoundingClientRect().right)
  .some((right) => right < 60 || right > innerWidth)"""


@pytest.fixture(scope="session")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translations")
    write_catalog(folder)
    return folder


@pytest.fixture
def settings(catalog, monkeypatch):
    monkeypatch.setattr("settings.languages.CATALOGS", (catalog,))
    return {"LANGUAGES": [LANGUAGE], "BABEL_TRANSLATION_DIRECTORIES": str(catalog)}


@pytest.fixture
def context_options():
    return {"viewport": PHONE, "reduced_motion": "reduce"}


@pytest.mark.extended
@pytest.mark.parametrize(("name", "who", "way"), TOUR, ids=[name for name, *_ in TOUR])
def test_every_page_is_translated_and_has_room_for_longer_words(people, page, name, who, way, monkeypatch, request):
    understand_both(monkeypatch)
    monkeypatch.setattr("app.email.reports.EmailTemplate.__subclasses__", lambda: [Email])  # other tests have their own
    go(page, who, way)
    folder = request.config.getoption("--screenshots")
    page.wait_for_function("document.dir === 'rtl'")  # the last way may end with a click on a link
    page.wait_for_load_state()
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        if folder:
            page.screenshot(path=f"{folder}/{name}, rtl-{size['width']}.png", full_page=True)
        assert broken_words(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "scrolled sideways"
        assert not page.evaluate(CURRENT_PAGE_IS_HIDDEN), "in the navigation"
    assert [text for frame in page.frames if "/dev/" not in frame.url for text in unmarked(frame)] == []


def test_unmarked_broken_and_covered_text_is_found(page):
    page.set_content(f"""
        <p>{pseudo("Signed in as <bdi>%(name)s</bdi>.")} <bdi>Ada</bdi> <code>flask run</code> 4 ada@example.com</p>
        <p>Raw {pseudo("Text")}</p> <a href="/" aria-label="Label">{pseudo("Link")}</a> {pseudo("x")[:-1]}
    """)
    assert unmarked(page) == ["Label", "Raw", "a message without its end"]
    assert broken_words(page) == []
    page.set_content("""
        <p style="width: 40px; overflow: hidden; white-space: nowrap">Truncated</p>
        <p style="margin-top: -30px">Other</p><p style="margin-left: 300px">Outside</p>
        <button style="width: 30px">Wide</button>
    """)
    assert sorted({found.partition(":")[0] for found in broken_words(page)}) == [
        "cut",
        "outside of its box",
        "outside of the window",
        "over each other",
    ]
