"""One-time codes: the field sends its form at the last digit."""

import pytest
from sqlalchemy import select
from support.tour import go

from app.extensions import db
from app.models import EmailChallenge, User

pytestmark = pytest.mark.extended


@pytest.fixture
def posts(page):
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data))
    return sent


@pytest.fixture
def field(bob, page):
    """The field for the code that confirms Bob's email address."""
    go(page, "bob", lambda page: page.goto("/auth/unconfirmed"))
    page.get_by_role("button", name="Send another email").click()
    page.get_by_role("button", name="Send another email (").wait_for()  # the script of the new page counts down
    return page.locator("#code")


def code():
    db.session.rollback()
    return db.session.scalar(select(EmailChallenge)).code


def is_confirmed():
    db.session.rollback()
    return db.session.scalar(select(User.confirmed))


def test_the_last_digit_of_a_code_sends_the_form(field, page, posts):
    page.locator("#code:focus").wait_for()
    page.keyboard.type(f"{code()[:4]}-{code()[4:]}")
    page.locator(".flash", has_text="is confirmed").wait_for()
    assert len(posts) == 1
    assert is_confirmed()


def test_a_pasted_code_sends_the_form(field, page, posts):
    field.evaluate("(input, code) => document.execCommand('insertText', false, code)", f" {code()[:4]} {code()[4:]} ")
    page.locator(".flash", has_text="is confirmed").wait_for()
    assert len(posts) == 1


def test_a_wrong_code_is_sent_once_and_again_only_by_the_button(field, page, posts):
    right = code()
    wrong = f"{right[:2]}{(int(right[2]) + 1) % 10}{right[3:]}"
    page.keyboard.type(wrong)
    page.locator("#code[aria-invalid]").wait_for()
    page.wait_for_load_state()
    assert len(posts) == 1
    field.evaluate("input => input.setSelectionRange(2, 3)")
    page.keyboard.type(right[2])
    assert field.input_value() == right
    assert len(posts) == 1
    page.keyboard.press("Enter")
    page.locator(".flash", has_text="is confirmed").wait_for()


def test_a_code_with_a_letter_is_not_sent(field, page, posts):
    page.keyboard.type("1234567O")
    assert field.get_attribute("maxlength") == "16"
    assert posts == []


def test_a_code_typed_anew_after_a_wrong_one_is_sent(field, page, posts):
    page.keyboard.type("00000000")
    page.locator("#code[aria-invalid]").wait_for()
    page.wait_for_load_state()
    page.keyboard.press("Control+A")
    page.keyboard.type(code())
    page.locator(".flash", has_text="is confirmed").wait_for()
    assert len(posts) == 2
