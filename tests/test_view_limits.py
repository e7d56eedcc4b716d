"""What a view of an application can allow: large requests, and sources of the Content-Security-Policy."""

import re

import pytest
from flask import Blueprint, abort, request
from support.clients import on_sqlite

from app.web.headers import csp
from app.web.request_size import max_content_length

pytestmark = on_sqlite
STRIPE = "https://js.stripe.com"


@pytest.fixture
def shop(own_app, app):
    """Pages of an application built on this one."""
    bp = Blueprint("a_test_shop", __name__, url_prefix="/a-test-shop")

    @bp.route("/pay", methods=["GET", "POST"])
    @csp(form_action="https://checkout.stripe.com", frame_ancestors="https://shop.example")
    def pay():
        return abort(404) if "gone" in request.args else "pay"

    @bp.post("/photo")
    @max_content_length(1024 * 1024)
    def photo():
        return str(len(request.files["photo"].read()))

    @bp.post("/json")
    @max_content_length(1024 * 1024)
    def take_json():
        return str(len(request.get_json()))

    @bp.post("/small")
    def small():
        return str(len(request.get_data()))

    @bp.get("/page")
    def page():
        return "page"

    app.register_blueprint(csp(script_src=STRIPE)(bp))
    return app


def policy(response):
    directives = response.headers["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (directive.partition(" ") for directive in directives)}


def test_a_view_and_its_blueprint_add_sources_to_the_policy(shop, client):
    usual = policy(client.get("/"))
    own = {"script-src": f"'self' {STRIPE}", "frame-ancestors": "https://shop.example"}
    own["form-action"] = "'self' https://checkout.stripe.com"
    assert policy(client.get("/a-test-shop/pay")) == usual | own
    assert policy(client.get("/a-test-shop/page")) == usual | {"script-src": f"'self' {STRIPE}"}
    assert policy(client.get("/a-test-shop/pay?gone")) == usual | own, (
        "an error page may hold the form, to send it again"
    )
    assert "script-src" not in usual
    assert policy(client.get("/nowhere")) == usual


def test_a_form_that_is_sent_again_keeps_the_sources_of_its_view(shop, client):
    shop.config["WTF_CSRF_ENABLED"] = True
    page = client.post("/a-test-shop/pay", data={"amount": "5"})
    assert "Send again" in page.text
    assert "https://checkout.stripe.com" in policy(page)["form-action"]


def upload(size, **fields):
    """Return a form with a file, as Werkzeug's client would encode it; but that leaves a temporary file open."""
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts += ['name="photo"; filename="photo.jpg"\r\n\r\n' + "x" * size]
    body = "".join(f"--edge\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--edge--\r\n"
    return {"data": body.encode(), "content_type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize(("size", "status"), [(900_000, 200), (1_100_000, 413)])
def test_a_view_accepts_larger_uploads(shop, client, size, status):
    answer = client.post("/a-test-shop/photo", **upload(size))
    assert answer.status_code == status
    assert (answer.text == str(size)) == (status == 200)


def test_a_view_accepts_larger_json(shop, client):
    assert client.post("/a-test-shop/json", json="x" * 900_000).text == "900000"
    assert client.post("/a-test-shop/json", json="x" * 1_100_000).status_code == 413


def test_other_views_keep_their_limits(shop, client):
    assert client.post("/a-test-shop/small", data=b"x" * 70_000).status_code == 413
    assert client.post("/auth/login", **upload(70_000)).status_code == 413
    assert client.post("/a-test-shop/photo", **upload(70_000, title="x" * 20_000)).status_code == 413
    fields = {f"field{number}": "x" for number in range(200)}
    assert client.post("/a-test-shop/photo", **upload(600_000, **fields)).status_code == 413


@pytest.mark.parametrize(("size", "status"), [(400_000, 200), (600_000, 413)])
def test_a_form_of_undeclared_length_is_no_larger_than_what_is_read_into_memory(shop, client, size, status):
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert client.post("/a-test-shop/photo", **upload(size), environ_overrides=chunked).status_code == status


@pytest.mark.parametrize("settings", [{"MAX_CONTENT_LENGTH": 100_000}])
def test_a_setting_raises_the_limit_of_all_views(shop, client):
    assert client.post("/a-test-shop/small", data=b"x" * 90_000).text == "90000"
    assert client.post("/a-test-shop/small", data=b"x" * 110_000).status_code == 413


# All of Bootstrap


@pytest.mark.parametrize("settings", [{"FULL_BOOTSTRAP": True}])
def test_full_bootstrap_comes_with_its_scripts_from_this_site(own_app, app, client):
    page = client.get("/").text
    with client.get(re.search(r"/assets/\w+/site\.css", page)[0]) as css:
        assert b".modal-content{" in css.data
        assert b".topbar {" in css.data
    with client.get(re.search(r"/assets/\w+/site\.js", page)[0]) as js:
        assert b"Popper" in js.data
        assert b"sourceMappingURL" not in js.data
        assert b"Bootstrap v5" in js.data


def test_browsers_report_nothing_outside_of_development(client):
    assert "report-uri" not in policy(client.get("/"))
