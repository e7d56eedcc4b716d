"""Every email by the standards of others: SpamAssassin, and what caniemail.com knows about mail clients (Node)."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.clients import on_sqlite
from support.emails import send_whole

from app.email.templates import Email

pytestmark = [pytest.mark.extended, on_sqlite]

HERE = Path(__file__).parent
MAX_SCORE = 1.0  # SpamAssassin takes emails with 5 points for spam
SPAM = b"Subject: FREE V1AGRA!!! Act now\n\nDear friend, one million dollars, risk free. 100% guaranteed. Click here.\n"

# What mail clients ignore without harm.
HARMLESS = {
    "color-scheme meta tag": "dark mode in clients that know it",
    "color-scheme CSS property": "dark mode in clients that know it",
    "@media": "dark mode in clients that know it",
    "<body> element": "the outermost table has the same background",
    "border-radius": "corners are square",
    "border-spacing": "2 pixels of space",
    "max-height property": "the preview is hidden by display: none or mso-hide, too",
    "overflow": "the preview is hidden by display: none or mso-hide, too",
    "word-break": "the long link may be cut off, but can be clicked",
}


@pytest.fixture
def settings():
    known = {"PUBLIC_URL": "https://garden.example", "APP_NAME": "Garden", "SUPPORT_EMAIL": "help@garden.example"}
    return known | {"LANGUAGES": ["en", "de", "ar"]}


@pytest.fixture
def language():
    return "en"


@pytest.fixture
def emails(ada, outbox, language):
    ada.language = language
    for name in Email:
        send_whole(name, ada)
    assert len(outbox()) == len(Email)
    return outbox


def spam_scores(files):
    """Ask SpamAssassin, without the network, for the score of each email."""
    command = ["spamassassin", "--local", "--test-mode", *files]
    answers = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout.decode(errors="replace")
    return [float(score) for score in re.findall(r"^X-Spam-Status: \w+, score=(-?[\d.]+)", answers, re.MULTILINE)]


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_no_email_looks_like_spam(emails, tmp_path):
    files = [tmp_path / f"{number}.eml" for number in range(len(emails))]
    for file, message in zip(files, emails, strict=True):
        file.write_bytes(message.as_bytes())
    control = tmp_path / "spam.eml"
    control.write_bytes(SPAM)
    *scores, of_spam = spam_scores([*files, control])
    assert len(scores) == len(Email)
    assert max(scores) <= MAX_SCORE < of_spam


def test_mail_clients_support_what_emails_need(emails, tmp_path):
    def missing(*pages):
        files = [tmp_path / f"{number}.html" for number in range(len(pages))]
        for file, html in zip(files, pages, strict=True):
            file.write_text(html)
        answer = subprocess.run(
            ["node", "caniemail.mjs", *files], cwd=HERE, capture_output=True, check=True, timeout=300
        )
        return json.loads(answer.stdout)

    assert set(missing(*[message.html for message in emails])) <= set(HARMLESS)
    assert "display:flex" in missing('<p style="display: flex">Hello</p>'), "the data is there"
