"""What every page owes to everybody: valid HTML, accessible, in light and dark, wide and narrow, with longer words.

The tour is in a language of tests alone, whose words are longer and read from right to left (support/pseudo_locale.py).
`pytest -m extended tests/browser/test_tour.py --screenshots=DIR` leaves pictures of each page in DIR; add `--english`.
"""

import json
import socket
import subprocess
from urllib.request import Request, urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from support.accessibility import faint_fields, small_targets, unseen_focus
from support.clients import ROOT
from support.layout import broken_words
from support.pseudo_locale import LANGUAGE, pseudo, understand_both, unmarked, write_catalog
from support.tour import address, go, journeys
from support.waiting import until

from app.email.templates import Email

DESKTOP, PHONE = {"width": 1100, "height": 800}, {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 800}  # where the tables and filters of the administration change once more
WINDOWS = [("light", DESKTOP), ("dark", PHONE)]  # both colours and both widths
ALL_WINDOWS = [*WINDOWS, ("dark", DESKTOP), ("light", PHONE)]  # for whoever looks at the pictures
CURRENT_PAGE_IS_HIDDEN = """() => [...document.querySelectorAll(".side [aria-current]")]
  .map((tab) => tab.getBoundingClientRect().right)
  .some((right) => right < 60 || right > innerWidth)"""


@pytest.fixture(scope="session")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translations")
    write_catalog(folder)
    return folder


@pytest.fixture
def settings(request, monkeypatch):
    if request.config.getoption("--english"):
        return {}
    catalog = request.getfixturevalue("catalog")
    understand_both(monkeypatch)
    monkeypatch.setattr("settings.languages.CATALOGS", (catalog,))
    monkeypatch.setattr("app.email.reports.EmailTemplate.__subclasses__", lambda: [Email])  # other tests have their own
    return {"LANGUAGES": [LANGUAGE], "BABEL_TRANSLATION_DIRECTORIES": str(catalog)}


@pytest.fixture
def context_options():
    return {"viewport": PHONE, "reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def checker(tmp_path_factory):
    """Ask the Nu HTML checker, which starts slowly and so is kept, about a page; return what it finds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    jar, log = ROOT / "tests/extended/node_modules/vnu-jar/build/dist/vnu.jar", tmp_path_factory.mktemp("nu") / "log"
    options = ["nu.validator.servlet.bind-address=127.0.0.1", "nu.validator.checker.enableLangDetection=0"]
    command = ["java", *(f"-D{option}" for option in options), "-cp", jar, "nu.validator.servlet.Main", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

    def check(html):
        asked = Request(f"http://127.0.0.1:{port}/?out=json", html, {"Content-Type": "text/html; charset=utf-8"})
        with urlopen(asked, timeout=120) as answer:
            return json.load(answer)["messages"]

    try:
        until(lambda: "service started" in log.read_text(), "the checker", 240)
        yield check
    finally:
        process.terminate()
        process.wait()


@pytest.mark.extended
@pytest.mark.parametrize(
    "stops",
    [  # two checkers and browsers are enough
        pytest.param(stops, id="; ".join(name for name, *_ in stops), marks=pytest.mark.xdist_group(f"tour {at % 2}"))
        for at, stops in enumerate(journeys())
    ],
)
def test_every_page_is_accessible_and_translated(people, page, checker, stops, request):
    for name, who, way in stops:
        is_first = name == stops[0][0]
        try:
            check_page(page, checker, name, who if is_first else None, way if is_first else address(way.path), request)
            if not request.config.getoption("--english"):
                assert [text for frame in page.frames if "/dev/" not in frame.url for text in unmarked(frame)] == []
        except AssertionError as error:
            error.add_note(name)
            raise


METHODS = [("magic_link",), ("passkey",), ("magic_link", "passkey"), ("password",), ("none",)]


@pytest.mark.extended
@pytest.mark.xdist_group("tour 0")
@pytest.mark.parametrize("settings", [{"LOGIN_METHODS": methods} for methods in METHODS], ids=map(" ".join, METHODS))
@pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
def test_login_pages_are_accessible_with_other_login_methods(page, checker, settings, path, request):
    name = f"{' '.join(settings['LOGIN_METHODS'])}, {path.replace('/', ' ')}"
    check_page(page, checker, name, None, address(path), request)


def check_page(page, checker, name, who, way, request):
    broken, answers = [], []
    page.on("pageerror", lambda error: broken.append(error))
    page.on("response", lambda answer: answers.append(answer))
    go(page, who, way)
    page.wait_for_load_state()
    # The HTML as it is sent, before a browser mends it; an email is a page in a page.
    shown = {answer.frame: answer for answer in answers if not answer.frame.is_detached() and is_shown(answer)}
    assert page.main_frame in shown
    assert [checker(answer.body()) for answer in shown.values()] == [[]] * len(shown)
    assert not page.evaluate(CURRENT_PAGE_IS_HIDDEN), "in the navigation"
    folder, axe = request.config.getoption("--screenshots"), Axe()
    for colours, size in ALL_WINDOWS if folder else WINDOWS:
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        page.set_viewport_size(size)
        if folder:
            page.screenshot(path=f"{folder}/{name}-{colours}-{size['width']}.png", full_page=True)
        check_layout(page)
        found = axe.run(page)
        axe = Axe("0")  # it is in the page by now
        assert found.violations_count == 0, found.generate_report()
        assert faint_fields(page) == []
        assert size == DESKTOP or small_targets(page) == []
    assert unseen_focus(page) == []  # in the last window: test_accessibility.py tries all color schemes
    assert page.get_by_role("heading", level=1).count() == 1
    if name.startswith("administration"):
        page.set_viewport_size(WIDE)
        check_layout(page)
    assert broken == []


def check_layout(page):
    """Assert that the page has room for its words, from right to left and from left to right."""
    own = page.evaluate("document.dir")
    for direction in ("ltr", "rtl"):
        page.evaluate(f"document.dir = '{direction}'")
        assert broken_words(page) == [], direction
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"scrolled, {direction}"
    page.evaluate(f"document.dir = '{own}'")


def is_shown(answer):
    return answer.url == answer.frame.url and answer.request.is_navigation_request()


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
