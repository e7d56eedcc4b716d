"""Forms of an application built on this: every type of field of WTForms, rendered and submitted."""

import io
import re
from html.parser import HTMLParser

import pytest
import wtforms
from flask import Blueprint, request
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from jinja2 import ChoiceLoader, DictLoader
from support.clients import on_sqlite
from wtforms import validators, widgets
from wtforms.fields import SelectChoice

from app.auth.forms import Form, MaxLength, form_page

pytestmark = on_sqlite  # what a page shows depends on no database

PAGE = """{% from "macros.html" import fields, enctype %}
<form id="by-parts" method="post"{{ enctype(form) }}>{{ fields(form) }}<button>Go</button></form>"""
WHOLE = """{% from "macros.html" import post_form %}{{ post_form(form, "Plant it") }}"""
COLORS = [SelectChoice("r", "Red"), SelectChoice("g", "Green & <gold>"), SelectChoice("b", "Blue")]
NEEDED = [validators.InputRequired("Say this.")]
LEFT_EMPTY = [validators.Optional()]


class Address(wtforms.Form):
    street = wtforms.StringField("Street", NEEDED)
    town = wtforms.StringField("Town", LEFT_EMPTY, description="Nearest")


class AllForm(Form):
    title = wtforms.StringField("Title", [*NEEDED, validators.Length(max=40)], description="A <short> one")
    text = wtforms.TextAreaField("Text", LEFT_EMPTY, render_kw={"rows": 7, "class": "wide"})
    color = wtforms.SelectField("Color", NEEDED, choices=COLORS)
    colors = wtforms.SelectMultipleField("Colors", LEFT_EMPTY, choices=COLORS)
    boxes = {"widget": widgets.ListWidget(prefix_label=False), "option_widget": widgets.CheckboxInput()}
    ticked = wtforms.SelectMultipleField("Ticked", NEEDED, choices=COLORS, **boxes)
    size = wtforms.RadioField("Size", NEEDED, choices=[SelectChoice("s", "Small"), SelectChoice("l", "Large")])
    number = wtforms.IntegerField("Number", [validators.Optional(), validators.NumberRange(1, 9)])
    price = wtforms.DecimalField("Price", LEFT_EMPTY)
    weight = wtforms.FloatField("Weight", LEFT_EMPTY)
    day = wtforms.DateField("Day", LEFT_EMPTY)
    moment = wtforms.DateTimeLocalField("Moment", LEFT_EMPTY)
    hour = wtforms.TimeField("Hour", LEFT_EMPTY)
    month = wtforms.MonthField("Month", LEFT_EMPTY)
    week = wtforms.WeekField("Week", LEFT_EMPTY)
    url = wtforms.URLField("Page", [validators.Optional(), validators.URL()])
    phone = wtforms.TelField("Phone", LEFT_EMPTY)
    search = wtforms.SearchField("Search", LEFT_EMPTY)
    shade = wtforms.ColorField("Shade", LEFT_EMPTY)
    share = wtforms.IntegerRangeField("Share", [validators.Optional(), validators.NumberRange(0, 10)])
    email = wtforms.EmailField("Email", LEFT_EMPTY)
    secret = wtforms.PasswordField("Secret", [*LEFT_EMPTY, MaxLength(20)])
    agreed = wtforms.BooleanField("I agree", [validators.InputRequired("Tick this.")])
    news = wtforms.BooleanField("News", description="Once a month")
    hidden = wtforms.HiddenField(default="kept")
    picture = FileField("Picture", [FileRequired("Choose a file.")])
    pictures = wtforms.MultipleFileField("Pictures", LEFT_EMPTY)
    address = wtforms.FormField(Address, "Address")
    tags = wtforms.FieldList(wtforms.StringField("Tag", [validators.Length(max=5)]), "Tags", min_entries=2)


GOOD = {
    "title": "Fern", "text": "\r\none\r\n\r\n  two & <three>\r\n", "color": "g", "colors": ["r", "b"],
    "ticked": ["g", "b"], "size": "l", "number": "7", "price": "1.50", "weight": "0.25", "day": "2030-02-28",
    "moment": "2030-02-28T23:59", "hour": "07:30", "month": "2030-02", "week": "2030-W09",
    "url": "https://example.com/?a=1&b=2", "phone": "+44 20 7946 0000", "search": "what", "shade": "#0f766e",
    "share": "4", "email": "ada@example.com", "secret": "hush", "agreed": "y", "news": "y", "hidden": "kept",
    "address-street": "Main St", "address-town": "Ely", "tags-0": "a", "tags-1": "b",
}  # fmt: skip
TYPES = {
    "title": "text", "number": "number", "price": "number", "weight": "number", "day": "date", "hour": "time",
    "moment": "datetime-local", "month": "month", "week": "week", "url": "url", "phone": "tel", "search": "search",
    "shade": "color", "share": "range", "email": "email", "secret": "password", "agreed": "checkbox",
    "news": "checkbox", "hidden": "hidden", "picture": "file", "pictures": "file", "size": "radio",
    "ticked": "checkbox", "colors": "select", "color": "select", "text": "textarea", "address-street": "text",
    "address-town": "text", "tags-0": "text", "tags-1": "text",
}  # fmt: skip


class Page(HTMLParser):
    """A page as a browser parses it: its controls, their labels, and what it would submit."""

    def __init__(self, html):
        super().__init__()
        self.controls, self.labels, self.ids, self.forms, self.sent = [], {}, [], [], {}
        self.select = self.textarea = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        it = dict(attributes)
        self.ids += [it["id"]] if "id" in it else []
        if tag == "form":
            self.forms.append(it)
        if tag == "label":
            self.labels[it["for"]] = True
        if tag == "option" and "selected" in it:
            self.sent.setdefault(self.select["name"], []).append(it["value"])
        if tag in {"input", "select", "textarea"} and it["name"] != "csrf_token":
            self.controls.append({"type": tag} | it)
            self.select = self.textarea = None
            if tag == "select":
                self.select = it
            elif tag == "textarea":
                self.textarea = it["name"]
                self.sent[self.textarea] = ""
            elif it["type"] not in {"checkbox", "radio"} or "checked" in it:
                self.sent.setdefault(it["name"], []).append(it.get("value", ""))

    def handle_endtag(self, tag):
        self.textarea = None if tag == "textarea" else self.textarea

    def handle_data(self, data):
        if self.textarea:
            self.sent[self.textarea] += data

    def named(self, name):
        return [control for control in self.controls if control["name"] == name]

    def typed(self, name):
        """What a browser would submit: without the first line break of a textarea, and the others as CR LF."""
        sent = self.sent.get(name, [])
        if isinstance(sent, str):
            return sent.replace("\r\n", "\n").removeprefix("\n").replace("\n", "\r\n")
        return sent if len(sent) > 1 or name in {"colors", "ticked"} else "".join(sent)


@pytest.fixture
def show(own_app, app, client):
    """Serve a form class on its own page; return a function that submits it and keeps the data."""
    app.jinja_loader = ChoiceLoader([app.jinja_loader, DictLoader({"own.html": PAGE, "whole.html": WHOLE})])
    app.jinja_env.loader = ChoiceLoader([app.jinja_env.loader, app.jinja_loader])

    def serve(form_class, template="own.html", **kwargs):
        bp = Blueprint("own", __name__)
        taken = []

        @bp.route("/own", methods=["GET", "POST"])
        def own():
            form = form_class(**kwargs)
            if form.validate_on_submit():
                taken.append(form.data)
                return "taken"
            return form_page(template, form)

        app.register_blueprint(bp)
        return taken

    return serve


def with_files():
    return {"picture": (io.BytesIO(b"\x89PNG\r\n--\r\n" * 200), "fern.png")}


def test_every_type_of_field_is_rendered_with_its_label_and_attributes(show, client):
    show(AllForm)
    page = Page(client.get("/own").text)
    assert {name: page.named(name)[0]["type"] for name in TYPES} == TYPES
    for control in page.controls:
        assert control["type"] == "hidden" or control["id"] in page.labels, control
    assert len(page.ids) == len(set(page.ids))
    every = {name.partition("-")[0] for name in TYPES}
    assert every == {name for name, it in vars(AllForm).items() if hasattr(it, "creation_counter")}
    assert page.sent["hidden"] == ["kept"]
    assert page.forms[0]["enctype"] == "multipart/form-data"
    assert page.named("text")[0]["rows"] == "7"
    assert {"wide", "form-control"} <= set(page.named("text")[0]["class"].split())
    assert page.named("number")[0]["max"] == "9"
    assert page.named("title")[0]["maxlength"] == "40"
    assert "maxlength" not in page.named("secret")[0], "a password that is pasted is not cut short"
    assert "multiple" in page.named("pictures")[0]
    assert "multiple" in page.named("colors")[0]
    required = {control["name"] for control in page.controls if "required" in control}
    assert required == {"title", "color", "size", "agreed", "picture", "address-street"}, "no single box of `ticked`"


def test_every_field_of_a_form_arrives(show, client):
    taken = show(AllForm)
    assert client.post("/own", data=GOOD | with_files()).text == "taken"
    [data] = taken
    assert data["text"] == GOOD["text"]
    assert (data["colors"], data["number"], data["picture"].filename) == (["r", "b"], 7, "fern.png")
    assert (data["address"], data["tags"]) == ({"street": "Main St", "town": "Ely"}, ["a", "b"])


def test_optional_fields_can_be_left_empty(show, client):
    taken = show(AllForm)
    needed = {"title", "color", "ticked", "size", "agreed", "address-street"}
    empty = {name: value if name in needed else "" for name, value in GOOD.items() if name != "colors"}
    assert client.post("/own", data=empty | with_files()).text == "taken"
    assert (taken[0]["day"], taken[0]["number"], taken[0]["colors"]) == (None, None, [])


def test_a_form_with_an_error_keeps_what_was_typed(show, client):
    show(AllForm)
    answer = client.post("/own", data=GOOD | {"title": "x" * 41} | with_files())
    page = Page(answer.text)
    assert answer.status_code == 422
    for name in GOOD.keys() - {"title", "secret"}:
        assert page.typed(name) == GOOD[name]
    assert page.typed("secret") == "", "a password is never sent back"
    again = client.post("/own", data={name: page.typed(name) for name in GOOD} | {"title": "ok"} | with_files())
    assert again.text == "taken", "and can be sent again"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("number", "seven"), ("number", "99"), ("price", "1,50,0"), ("weight", "heavy"), ("day", "31.12.2030"),
        ("moment", "tomorrow"), ("hour", "25:99"), ("month", "May"), ("week", "2030-W99"), ("url", "no page"),
        ("share", "11"), ("tags-1", "longer than five"), ("address-street", ""), ("title", ""),
    ],
)  # fmt: skip
def test_a_field_with_an_error_keeps_its_value_and_gets_the_focus(show, client, name, typed):
    show(AllForm)
    page = Page(client.post("/own", data=GOOD | {name: typed} | with_files()).text)
    [control] = page.named(name)
    assert page.typed(name) == typed
    assert control["aria-invalid"] == "true"
    assert "is-invalid" in control["class"]
    assert control["aria-describedby"] in page.ids
    assert [other["name"] for other in page.controls if "autofocus" in other] == [name]


@pytest.mark.parametrize(("name", "words"), [("agreed", "Tick this."), ("picture", "Choose a file."), ("size", "Say")])
def test_a_missing_choice_has_its_error_beside_it(show, client, name, words):
    show(AllForm)
    sent = {key: value for key, value in (GOOD | with_files()).items() if key != name}
    answer = client.post("/own", data=sent)
    page = Page(answer.text)
    assert answer.text.count(words) == 1
    assert [it["name"] for it in page.controls if "autofocus" in it] == [name]


def test_the_help_of_a_field_stays_beside_an_error_and_is_escaped(show, client):
    show(AllForm)
    text = client.post("/own", data=GOOD | {"title": ""} | with_files()).text
    described = re.search(r'<div id="title-help">(.*?)</div>\s*</div>', text, re.DOTALL)[1]
    assert "Say this." in described
    assert "A &lt;short&gt; one" in described
    assert "Green &amp; &lt;gold&gt;" in text


@pytest.mark.parametrize("name", ["title", "text", "address-town", "tags-1", "hidden"])
def test_no_field_accepts_a_nul_in_subforms_either(show, client, name):
    taken = show(AllForm)
    short = GOOD | {name: "a\0b"} | with_files()
    assert client.post("/own", data=short).status_code == 422
    assert not taken


def test_an_upload_is_bound_to_file_fields_only(show, client):
    taken = show(AllForm)
    answer = client.post("/own", data=GOOD | {"title": (io.BytesIO(b"Fern"), "title.txt")} | with_files())
    assert answer.status_code == 422
    assert not taken


def test_a_form_without_file_fields_is_urlencoded_and_can_have_its_own_button(show, client):
    class OwnButton(Form):
        name = wtforms.StringField("Name")
        save = wtforms.SubmitField("Save")

    show(OwnButton, "whole.html")
    page = client.get("/own").text
    assert "enctype" not in page
    assert "Plant it" not in page
    assert '"Save"' in page


def test_a_form_can_be_filled_from_the_query(show, client):
    class Search(Form):
        q = wtforms.SearchField("Search")

    class Whole(Search):
        def __init__(self):
            super().__init__(formdata=request.args)

    show(Whole)
    assert Page(client.get("/own?q=ferns").text).typed("q") == "ferns"
    assert Page(client.get("/own").text).typed("q") == ""


def test_post_form_renders_a_complete_form(show, client):
    show(AllForm, "whole.html")
    page = client.get("/own").text
    assert Page(page).forms == [{"method": "post", "enctype": "multipart/form-data"}]
    assert "Plant it</button>" in page


@pytest.mark.parametrize("base", [Form, FlaskForm, wtforms.Form])
def test_a_form_can_have_a_prefix_and_another_base_class(app, base):
    kind = type("Prefixed", (base,), {"title": wtforms.StringField("Title"), "note": wtforms.TextAreaField("Note")})
    with app.test_request_context():
        form = kind(prefix="plant-")
        macros = app.jinja_env.get_template("macros.html").make_module({"csrf_token": lambda: "a"})
        html = macros.fields(form)
        assert Page(html).named("plant-note")
        assert 'id="plant-title"' in macros.field(form, "title")


def test_a_stale_form_keeps_its_line_breaks_and_choices(app, client, show):
    """The page that sends it again holds all fields."""
    show(AllForm)
    app.config["WTF_CSRF_ENABLED"] = True
    answer = client.post("/own", data=GOOD | {"csrf_token": "stale"})
    page = Page(answer.text)
    assert answer.status_code == 400
    assert page.typed("text") == GOOD["text"]
    assert page.typed("colors") == ["r", "b"]
    assert page.typed("size") == "l"
    assert "hush" not in answer.text, "a password is never sent back"
