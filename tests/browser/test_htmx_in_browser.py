"""The example of docs/htmx.md, in a browser with htmx."""

import re
import shutil

import pytest
from jinja2 import ChoiceLoader, DictLoader
from support.clients import ROOT

DOCUMENT = (ROOT / "docs/htmx.md").read_text("utf-8")
HTMX = ROOT / "tests/extended/node_modules/htmx.org/dist/htmx.min.js"
SCRIPTS = pytest.mark.parametrize("context_options", [{}, {"java_script_enabled": False}], ids=["htmx", "no scripts"])

pytestmark = pytest.mark.extended  # needs Node's packages


@pytest.fixture
def wishes(app, tmp_path, monkeypatch):
    example = {"__name__": __name__}
    exec(re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[1], example)
    app.register_blueprint(example["bp"])
    template = re.search(r"```html\n(.*?)```", DOCUMENT, re.DOTALL)[1]
    monkeypatch.setattr(
        app.jinja_env, "loader", ChoiceLoader([DictLoader({"wishes.html": template}), app.jinja_env.loader])
    )
    shutil.copytree(ROOT / "app/static", tmp_path / "static")
    shutil.copy(HTMX, tmp_path / "static")
    monkeypatch.setattr(app, "static_folder", str(tmp_path / "static"))


@SCRIPTS
def test_a_form_shows_its_errors_and_its_success(wishes, page, context_options):
    loads = []
    page.on("load", lambda _: loads.append(page.url))
    page.goto("/wishes")
    page.get_by_label("Plant").evaluate("input => input.required = false")
    page.get_by_role("button", name="Add").click()
    page.get_by_text("Name the plant.").wait_for()
    assert page.title().startswith("Error: ")
    assert page.get_by_label("Plant").evaluate("input => input === document.activeElement")
    page.get_by_label("Plant").fill("Fern")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("listitem").filter(has_text="Fern").wait_for()
    assert not page.title().startswith("Error: ")
    assert page.get_by_label("Plant").input_value() == ""
    page.get_by_label("Plant").fill("Ivy")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("listitem").filter(has_text="Ivy").wait_for()
    assert page.locator("#wishes").count() == 1
    assert (len(loads) == 1) == (not context_options), "htmx replaces a part of the page"
