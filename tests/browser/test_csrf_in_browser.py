"""Fetch Metadata and CSRF tokens, as a current browser sends them."""

from support.clients import PASSWORD

from app.models import UserSession


def test_a_two_day_old_login_page_works_after_a_key_rotation(app, ada, page, clock):
    page.goto("/auth/login")
    clock.move(days=2)
    app.config["SECRET_KEY"] = "another key, which the page's token was not made with"
    page.get_by_label("Email or username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_text("Hello, ada!").wait_for()


def test_forms_of_another_site_are_refused(ada, browser, live):
    form = f"""<form method="post" action="{live}/auth/login"><input name="login" value="ada">
        <input name="password" value="{PASSWORD}"><button>Win a prize</button></form>"""
    context = browser.new_context()
    context.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page = context.new_page()
    page.goto("http://evil.example/")
    page.get_by_role("button").click()
    page.get_by_text("This form came from another site").wait_for()
    assert context.cookies(live) == []
    assert not UserSession.query.count()
    context.close()
