"""Templates are compiled with what is the same on every page of a language, and pages do not notice."""

import re

import pytest
from flask import render_template_string
from jinja2 import ChoiceLoader, DictLoader, TemplateNotFound

from app import templating

PAGES = [
    "/",
    "/auth/login",
    "/auth/register",
    "/auth/reset",
    "/appearance",
    "/account",
    "/auth/devices",
    "/auth/nowhere",
]
RANDOM = re.compile(r'name="csrf_token" value="[^"]*"|<code[^>]*>\w{16}</code>')


class Nothing:
    """In place of Fold."""

    def __init__(self, *_):
        pass

    def visit(self, tree):
        return tree


@pytest.mark.parametrize("settings", [{}, {"LANGUAGES": ["de", "ar"]}], ids=["English", "German and Arabic"])
def test_pages_are_the_same_without_it(own_app, app, client, another_client, ada, monkeypatch):
    def shown():
        app.jinja_env.by_language.clear()
        return [words(browser.get(path).text) for browser in (client, another_client) for path in PAGES]

    client.log_in(ada)
    client.get("/")  # offers a passkey, once
    with_it = shown()
    monkeypatch.setattr(templating, "Fold", Nothing)
    assert shown() == with_it


def test_nothing_constant_is_asked_for_on_a_page(app):
    with app.test_request_context():
        environment = app.jinja_env.of_reader()
        source = environment.loader.get_source(environment, "base.html")[0]
        code = environment.compile(source, "base.html", raw=True)
    assert "site.css" in code
    assert [
        name for name in ("asset_url", "is_on", "gettext", "APP_NAME", "'language'") if f"resolve({name!r})" in code
    ] == []


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{% set config = {"APP_NAME": "Mine"} %}{{ config.APP_NAME }}', "Mine"),
        ("{% macro shown(is_on) %}{{ is_on }}{% endmacro %}{{ shown(3) }}", "3"),
        ("{% for url_for in [1, 2] %}{{ url_for }}{% endfor %}", "12"),
        ('{% from "components.html" import badge as icon %}{{ icon("new") | striptags }}', "new"),
        ("{% if is_on('password') %}a{% elif config.NOTHING %}b{% else %}c{% endif %}", "a"),
        ("{% if config.NOTHING %}a{% elif word %}b{% elif is_on('password') %}c{% else %}d{% endif %}", "c"),
        ("{{ url_for('auth.login', next='/a b') }}", "/auth/login?next=/a+b"),
        ("{% if false %}{{ url_for('no.where') }}{% endif %}x", "x"),
        ('{% set word = 1 %}{% include "errors/nowhere.html" ignore missing %}x', "x"),
        ('{{ _("Log in to %(app)s.", app="<b>") }}', "Log in to &lt;b&gt;."),
        ("{% if not is_on('password') %}{% block part %}a{% endblock %}{% endif %}{{ self.part() }}", "a"),
        ("{% if 3 < config.ENDLESS %}{{ config.ENDLESS }}{% endif %}", "inf"),
    ],
)
def test_a_template_means_what_it_says(app, template, words):
    app.config["ENDLESS"] = float("inf")
    with app.test_request_context():
        assert app.jinja_env.from_string(template).render() == words


@pytest.mark.parametrize(
    ("page", "own", "words"),
    [
        ('{% from "own.html" import is_on %}{{ is_on("password") }}', "{% macro is_on(_) %}own{% endmacro %}", "own"),
        ('{% include "own.html" %}{% set word = "B" %}{% include "own.html" %}', "{{ word }}", "AB"),
        ("{% set text %}{% include 'own.txt' %}{% endset %}{{ text }}", "{{ '<' }}", "<"),
        ('{% if 0 %}{% include "own.html" %}{% endif %}A', "{% nothing %}", "A"),
    ],
)
def test_two_templates_mean_what_they_say(own_app, app, page, own, words):
    parts = {"page.html": page, "own.html": own, "own.txt": own}
    app.jinja_env.loader = ChoiceLoader([DictLoader(parts), app.jinja_env.loader])
    with app.test_request_context():
        assert app.jinja_env.get_template("page.html").render(word="A") == words


def test_an_icon_is_the_one_that_its_branch_imports(own_app, app):
    first = '{% if 1 // one %}{% from "own.html" import icon %}{{ icon("key") }}'
    page = first + '{% else %}{% from "components.html" import icon %}{{ icon("key") }}{% endif %}'
    own = "{% macro icon(name) %}own {{ name }}{% endmacro %}"
    app.jinja_env.loader = ChoiceLoader([DictLoader({"page.html": page, "own.html": own}), app.jinja_env.loader])
    with app.test_request_context():
        assert app.jinja_env.get_template("page.html").render(one=1) == "own key"


def test_an_applications_filters_and_tests_run_on_each_page(own_app, app):
    readers = iter(["ada", "eve", "ada", "eve"])
    app.jinja_env.filters["for_reader"] = lambda value: f"{value} for {next(readers)}"
    app.jinja_env.tests["of_ada"] = lambda value: next(readers) == "ada"
    page = '{{ url_for("main.index") | for_reader }}{% if config.APP_NAME is of_ada %}, ada{% endif %}'
    with app.test_request_context():
        template = app.jinja_env.from_string(page)
        assert [template.render(), template.render()] == ["/ for ada", "/ for ada"]


def test_a_component_that_differs_from_page_to_page_is_asked_for_on_each(own_app, app):
    components = "{% macro logo() %}{{ mark() }}{% endmacro %}{% macro mark() %}{{ chosen_scheme() }}{% endmacro %}"
    app.jinja_env.loader = ChoiceLoader([DictLoader({"components.html": components}), app.jinja_env.loader])
    app.jinja_env.globals["chosen_scheme"] = iter(["light", "dark"]).__next__
    with app.test_request_context():
        template = app.jinja_env.from_string('{% from "components.html" import logo %}{{ logo() }}')
        assert [template.render(), template.render()] == ["light", "dark"]


def test_an_applications_own_url_for_is_called(own_app, app):
    app.jinja_env.globals["url_for"] = lambda endpoint, **values: f"{app.url_for(endpoint, **values)}?v=1"
    with app.test_request_context():
        assert app.jinja_env.from_string("{{ url_for('main.index') }}").render() == "/?v=1"


def test_the_layout_replaces_no_variable_of_a_page(own_app, app, client):
    @app.get("/own")
    def own():
        page = (
            '{% extends "base.html" %}{% block content %}{{ scheme }} {{ is_logged_in }} {{ page_title }}{% endblock %}'
        )
        return render_template_string(page, scheme="https", is_logged_in="maybe", page_title="Mine")

    assert "https maybe Mine" in client.get("/own").text


def test_a_job_renders_a_template_without_a_user(app):
    with app.app_context():
        assert render_template_string("{% if current_user.is_authenticated %}in{% else %}out{% endif %}") == "out"


def test_an_owners_overlay_is_plain_jinja(app):
    latex = app.jinja_env.overlay(variable_start_string="<<", variable_end_string=">>")
    assert latex.from_string("{<< 1 + 1 >>}").render() == "{2}"


def test_a_changed_setting_shows(app, client):
    app.config["APP_NAME"] = "Orchard"
    assert "Log in to Orchard" in client.get("/auth/login").text
    app.config["APP_NAME"] = "Meadow"
    assert "Log in to Meadow" in client.get("/auth/login").text


def test_urls_follow_an_applications_own_defaults(own_app, app, client):
    app.url_defaults(lambda endpoint, values: values.setdefault("from", "here"))
    assert 'href="/auth/register?from=here"' in client.get("/auth/login").text


def test_in_development_a_changed_include_shows(own_app, app):
    parts = {"whole.html": '{% include "part.html" %}', "part.html": "one"}
    app.jinja_env.loader, app.jinja_env.auto_reload = ChoiceLoader([DictLoader(parts), app.jinja_env.loader]), True
    with app.test_request_context():
        assert app.jinja_env.get_template("whole.html").render() == "one"
        parts["part.html"] = "two"
        assert app.jinja_env.get_template("whole.html").render() == "two"


def test_a_failure_in_an_included_template_names_its_line(own_app, app):
    parts = {"whole.html": 'a\nb\n{% include "part.html" %}', "part.html": "\n" * 20 + "{{ 1 // word }}"}
    app.jinja_env.loader = ChoiceLoader([DictLoader(parts), app.jinja_env.loader])
    with app.test_request_context(), pytest.raises(ZeroDivisionError) as raised:
        app.jinja_env.get_template("whole.html").render(word=0)
    assert raised.traceback[-1].lineno + 1 == 21


def test_a_template_can_include_itself_and_one_that_is_missing(own_app, app):
    replies = '{{ comment.words }}{% for comment in comment.replies %}, {% include "comment.html" %}{% endfor %}'
    parts = {"comment.html": replies, "page.html": '{% if word %}{% include "nowhere.html" %}{% endif %}a page'}
    app.jinja_env.loader = ChoiceLoader([DictLoader(parts), app.jinja_env.loader])
    comment = {"words": "one", "replies": [{"words": "two", "replies": [{"words": "three"}]}]}
    with app.test_request_context():
        assert app.jinja_env.get_template("comment.html").render(comment=comment) == "one, two, three"
        assert app.jinja_env.get_template("page.html").render() == "a page"
        with pytest.raises(TemplateNotFound):
            app.jinja_env.get_template("page.html").render(word=True)


def test_an_async_view_is_not_taken_for_a_plain_one(app):
    async def view(): ...

    assert app.ensure_sync(len) is len
    with pytest.raises(RuntimeError, match="async"):  # asgiref is not installed
        app.ensure_sync(view)


def test_a_hook_need_not_be_hashable(own_app, app, client):
    class Hook(list):
        def __call__(self):
            self.append("called")

    hook = Hook()
    app.before_request(hook)
    client.get("/")
    assert hook == ["called"]


def words(page):
    """Return the elements and words of a page: white space may differ."""
    return " ".join(RANDOM.sub("", page).split())
