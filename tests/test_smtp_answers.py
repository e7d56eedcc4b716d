"""Answers of mail servers are explained: what they mean, and what to do."""

import smtplib
import ssl

import pytest
from support.smtp_answers import ANSWERS

from app.email.smtp_answers import ANSWERS as TABLE
from app.email.smtp_answers import Explanation, explain


@pytest.mark.parametrize(("answer", "cause"), ANSWERS)
def test_an_answer_is_explained(answer, cause):
    explanation = explain(answer)
    assert cause in explanation.cause
    assert explanation.remedy.endswith((".", "?", "1", "--all"))


def test_each_line_of_the_table_explains_an_answer():
    explained = {explain(answer) for answer, _ in ANSWERS}
    assert [texts for _, *texts in TABLE if Explanation(*texts) not in explained] == []


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 no\r\n5.7.8 ?p=BadCredentials"), "Google refuses"),
        (smtplib.SMTPRecipientsRefused({"ann@example.org": (550, b"5.1.1 no such user")}), "doesn't exist"),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "hung up"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "don't match"),
        (TimeoutError(), "doesn't answer"),
        (ConnectionRefusedError(111, "Connection refused"), "No mail server"),
    ],
)
def test_an_error_is_explained_like_its_answer(error, cause):
    assert cause in explain(error).cause


def test_what_is_not_known_is_not_explained():
    assert explain("It can't be rendered: KeyError: 'name'") is None
    assert explain("") is None
    assert isinstance(explain("550 " + "x" * 100_000), Explanation)
