"""The log of a developer names what the application or the browser refused, and how to allow it."""

import io
import logging

import pytest
from flask import render_template_string
from support.routes import addresses

STRIPE = "https://js.stripe.com"
PAGE = """{% extends 'base.html' %}
{% block content %}<div class="x"></div><h1 class="modal h2 accordion"></h1>{% endblock %}"""


def upload(size):
    return {"photo": (io.BytesIO(b"x" * size), "photo.jpg")}


@pytest.fixture
def developer(make_app, databases, tmp_path, caplog):
    """A client of the application in development, and its log."""
    settings = {
        "SECRET_KEY": "for tests alone, and long enough",
        "MAILBOX": str(tmp_path / "mailbox"),
        "MAIL_DELIVERY": "off",
    }
    with make_app("development", databases("sqlite"), settings | {"WTF_CSRF_ENABLED": False}) as app:
        app.add_url_rule("/a-test-shop/page", "page", view_func=lambda: render_template_string(PAGE))
        app.add_url_rule("/a-test-shop/small", "small", view_func=lambda: "small", methods=["POST"])
        caplog.set_level(logging.WARNING, "app.dev.refusals")
        yield app


def said(caplog):
    sentences = [record.message for record in caplog.records if record.name == "app.dev.refusals"]
    caplog.clear()
    return sentences


def test_log_names_the_limit_that_refused_a_request(developer, caplog):
    client = developer.test_client()
    client.post("/a-test-shop/small", data=upload(70_000))
    [sentence] = said(caplog)
    assert sentence.startswith("POST /a-test-shop/small was refused as too large. It has 70")
    assert sentence.endswith(
        "65536 are allowed: raise MAX_CONTENT_LENGTH, or decorate the view with @max_content_length()."
    )
    client.post("/a-test-shop/small", data={"story": "x" * 20_000})
    [sentence] = said(caplog)
    assert "LONGER_FIELDS" in sentence


@pytest.mark.parametrize(
    ("directive", "blocked", "remedy"),
    [
        ("script-src-elem", f"{STRIPE}/v3/", f'Allow it: @csp(script_src="{STRIPE}")'),
        ("form-action", "https://checkout.stripe.com/c/1", '@csp(form_action="https://checkout.stripe.com")'),
        ("style-src-attr", "inline", "Move it to a file in app/static."),
    ],
)
def test_log_names_what_a_browser_refused(developer, caplog, directive, blocked, remedy):
    client = developer.test_client()
    assert client.get("/").headers["Content-Security-Policy"].endswith("; report-uri /dev/csp-report")
    page = "http://localhost/a-test-shop\r\nFORGED"
    report = {"csp-report": {"document-uri": page, "blocked-uri": blocked, "effective-directive": directive}}
    answer = client.post("/dev/csp-report", json=report, content_type="application/csp-report")
    assert answer.status_code == 204
    [sentence] = said(caplog)
    assert sentence.startswith(
        f"http://localhost/a-test-shopFORGED: the browser refused {blocked} because of the policy's {directive}."
    )
    assert sentence.endswith(remedy)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"csp-report": 5}', b"\xff", b'{"csp-report": {"blocked-uri": "http://["}}']
)
def test_a_report_of_any_shape_is_accepted(developer, body):
    client = developer.test_client()
    assert client.post("/dev/csp-report", data=body, content_type="application/csp-report").status_code == 204
    away = client.post("/dev/csp-report", data=body, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert away.status_code == 404, "of other machines"


def test_log_names_the_parts_of_bootstrap_that_are_left_out(developer, caplog):
    developer.test_client().get("/a-test-shop/page")
    assert said(caplog) == ["/a-test-shop/page uses parts of Bootstrap that need FULL_BOOTSTRAP=1: accordion modal"]
    developer.config["FULL_BOOTSTRAP"] = True
    developer.test_client().get("/a-test-shop/page")
    assert said(caplog) == []


def test_our_pages_use_no_part_of_bootstrap_that_is_left_out(developer, caplog):
    client = developer.test_client()
    for _, address in addresses(developer, "GET"):
        client.get(address, buffered=True).close()
    assert [sentence for sentence in said(caplog) if "/a-test-shop/" not in sentence] == []
