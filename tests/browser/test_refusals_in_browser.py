"""What a browser refuses on pages of an application, what it reports to the log, and all of Bootstrap."""

import pytest
from flask import redirect, render_template_string
from support.waiting import until

from app.web.headers import csp

pytestmark = pytest.mark.extended

ELSEWHERE = "http://pay.example"
PAGE = """{% extends "base.html" %}
{% block content %}<h1>Shop</h1>
<script src="http://pay.example/pay.js"></script>
<script>document.title = "inline"</script>
<form method="post" action="/pay"><button>Pay</button></form>{% endblock %}"""
BOOTSTRAP = """{% extends "base.html" %}
{% block content %}<h1>Shop</h1>
<div class="dropdown"><button class="btn btn-primary dropdown-toggle" data-bs-toggle="dropdown">Sizes</button>
<ul class="dropdown-menu"><li><a class="dropdown-item" href="/">Small</a></li></ul></div>
<button class="btn btn-primary" data-bs-toggle="modal" data-bs-target="#ask">Buy</button>
<div class="modal" id="ask" tabindex="-1" aria-labelledby="title">
<div class="modal-dialog"><div class="modal-content">
<div class="modal-header"><h2 class="modal-title h5" id="title">Buy this rose?</h2>
<button class="btn-close" data-bs-dismiss="modal" aria-label="Close"></button></div>
<div class="modal-body">It costs 5.</div>
<div class="modal-footer"><button class="btn btn-primary" data-bs-dismiss="modal">Yes</button></div></div></div></div>
<div class="accordion" id="more"><div class="accordion-item"><h2 class="accordion-header">
<button class="accordion-button collapsed" data-bs-toggle="collapse" data-bs-target="#care">Care</button></h2>
<div id="care" class="accordion-collapse collapse" data-bs-parent="#more"><div class="accordion-body">Water it.</div>
</div></div></div>{% endblock %}"""


@pytest.fixture
def shop(app):
    allowed = csp(script_src=ELSEWHERE, form_action=ELSEWHERE)
    app.add_url_rule("/shop", "shop", lambda: render_template_string(PAGE))
    app.add_url_rule("/allowed", "allowed", allowed(lambda: render_template_string(PAGE)))
    app.add_url_rule("/pay", "pay", lambda: redirect(f"{ELSEWHERE}/checkout"), methods=["POST"])
    app.add_url_rule("/bootstrap", "bootstrap", lambda: render_template_string(BOOTSTRAP))


@pytest.fixture
def visitor(shop, browser, live):
    """A browser that never opened the developer's link, and a payment provider."""
    context = browser.new_context(base_url=live)
    script = {"body": "document.title = 'paid'", "content_type": "text/javascript"}
    context.route(f"{ELSEWHERE}/**", lambda route: route.fulfill(**script))
    yield context.new_page()
    context.close()


def test_log_says_what_the_browser_refused(visitor, caplog):
    visitor.goto("/shop")
    assert "Shop" not in visitor.title()
    assert visitor.title() not in {"paid", "inline"}
    visitor.get_by_role("button", name="Pay").click()
    sentences = [
        f"/shop: the browser refused {ELSEWHERE}/pay.js because of the policy's script-src-elem."
        f' Allow it: @csp(script_src="{ELSEWHERE}")',
        "/shop: the browser refused inline because of the policy's script-src-elem. Move it to a file in app/static.",
        "/pay because of the policy's form-action. It redirects to another site. Allow that one: @csp(form_action=...)",
    ]
    until(lambda: all(sentence in caplog.text for sentence in sentences))
    assert visitor.get_by_role("heading").inner_text() == "Shop"


def test_sources_that_a_view_allows_work(visitor):
    visitor.goto("/allowed")
    assert visitor.title() == "paid"
    with visitor.expect_request(f"{ELSEWHERE}/checkout"):
        visitor.get_by_role("button", name="Pay").click()


@pytest.mark.parametrize("settings", [{"FULL_BOOTSTRAP": True}])
@pytest.mark.parametrize(
    "context_options", [{"color_scheme": "light"}, {"color_scheme": "dark"}], ids=["light", "dark"]
)
def test_the_whole_of_bootstrap_works_under_the_policy(shop, page):
    page.goto("/bootstrap")
    page.get_by_role("button", name="Sizes").click()
    page.get_by_role("link", name="Small").wait_for()
    page.get_by_role("button", name="Care").click()
    page.get_by_text("Water it.").wait_for()
    page.get_by_role("button", name="Buy").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    page.get_by_role("dialog").wait_for(state="hidden")
