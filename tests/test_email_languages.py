"""Emails in the language of their recipient: which one it is, its structure, and its characters on the wire."""

import re
from email.header import decode_header, make_header
from io import BytesIO

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from support.clients import on_sqlite
from support.emails import send_whole
from support.mail_server import MailServer

from app import languages
from app.dev.previews import sample
from app.email import composition, delivery, outbox
from app.email.rendering import common_values
from app.email.templates import Email
from app.extensions import db
from app.models import Actor, OutboxEmail, User
from app.models.outbox_email import Status
from app.security import audit

pytestmark = on_sqlite

LANGUAGES = ["en", "de", "ar"]
ARABIC = {"Accept-Language": "ar,en;q=0.5"}


@pytest.fixture
def settings():
    return {"LANGUAGES": LANGUAGES, "PREVENT_ENUMERATION": True}


def newest():
    return db.session.scalars(db.select(OutboxEmail).order_by(OutboxEmail.id.desc())).first()


@pytest.mark.parametrize(
    ("of_account", "address", "language"),
    [
        ("de", "ada@example.com", "de"),
        (None, "ada@example.com", "ar"),
        ("fr", "ada@example.com", "ar"),
        ("de", "nobody@example.com", "ar"),
    ],
    ids=["chosen", "not chosen", "no longer offered", "no account"],
)
def test_an_email_is_in_the_language_of_the_account_or_of_the_request(client, ada, of_account, address, language):
    db.session.execute(db.update(User).values(language=of_account))  # without its check: LANGUAGES had it once
    db.session.commit()
    client.post("/auth/reset", data={"email": address}, headers=ARABIC)
    assert newest().language == language


def test_an_email_that_nobody_asked_for_is_in_the_first_language(app, ada, bob):
    outbox.enqueue(Email.DELETION_CANCELLED, ada)
    assert newest().language == "en"
    with app.test_request_context(headers=ARABIC):
        with audit.acting_as(Actor.ADMINISTRATOR, bob):
            outbox.enqueue(Email.INVITATION, None, to="eve@example.com")
        assert newest().language == "en"
        outbox.enqueue(Email.INVITATION, None, to="eve@example.com")
        assert newest().language == "ar"


def test_the_language_of_a_deleted_account_is_known_to_its_last_email(ada):
    outbox.enqueue(Email.ACCOUNT_DELETED, None, to=ada.email, language="de")
    assert newest().language == "de"


def test_rows_of_earlier_releases_and_of_other_settings_are_sent_in_the_first_language(ada, outbox):
    for language in (None, "fr", "nonsense"):
        send_whole(Email.DELETION_REQUESTED, ada)
        newest().language, newest().details = language, newest().details | {"due": "6 December 2026"}
        db.session.commit()
    assert [re.search(r'<html lang="(\w+)"', message.html)[1] for message in outbox()] == ["en"] * 3
    assert all("6 December 2026" in message.subject for message in outbox())


def test_dates_in_an_email_are_in_the_time_zone_of_the_account(ada, outbox, clock):
    ada.time_zone = "Asia/Tokyo"
    send_whole(Email.DELETION_REQUESTED, ada)
    newest().details = newest().details | {"due": "2026-12-06T23:00:00+00:00"}
    db.session.commit()
    assert "7 December 2026" in outbox()[-1].subject


def shape(message):
    """Return what an email has in every language: links, codes, and paragraphs by their kind."""
    body, _, closing = message.body.partition("\n-- \n")
    kinds = [
        "code" if re.fullmatch(r"\d{4}[ \xa0]\d{4}", part) else "link" if ":\nhttp" in part else "text"
        for part in body.split("\n\n")
    ]
    facts = [line.count("border-") for line in message.html.split("\n") if "14px; line-height:22px" in line]
    copied = re.findall(r'<a href="(http[^"]*)"', message.html)
    return kinds, len(closing.split("\n\n")), len(facts), copied, message.html.count('<span class="ink"')


def test_an_email_has_the_same_parts_in_every_language(app):
    """No label, greeting or box of facts is known by its English words."""
    values = common_values() | {"user": None, "unlinked": str}
    for name in Email:
        shapes = {}
        for language in LANGUAGES:
            with languages.speaking(language):
                message = composition.compose(name, "ada@example.com", values | sample())
            shapes[language] = shape(message)
            preview = re.search(r'<div class="preview"[^>]*>(.*?)&#847;', message.html, re.DOTALL)[1]
            assert preview != sample()["hello"], (name, language)
            assert f'<html lang="{language}" dir="{languages.direction(language)}"' in message.html
        assert shapes["de"] == shapes["en"] == shapes["ar"], name


def test_codes_and_names_keep_their_order_from_right_to_left(ada, outbox):
    ada.language = "ar"
    send_whole(Email.CODE, ada)
    send_whole(Email.EMAIL_CHANGED, ada, new_email="new@example.com")
    code, changed = (message.body for message in outbox())
    assert re.search(r"^\d{4}\xa0\d{4}$", code, re.MULTILINE), "with a space, the halves would change places"
    assert "\u2068new (at) example (dot) com\u2069" in changed


# On the wire

SUBJECTS = {
    "de": "Bestätige für %(app_name)s die geänderte E-Mail-Adresse, größer und schöner als früher",
    "ar": "أكِّد عنوان بريدك الإلكتروني الجديد لدى %(app_name)s حتى تتمكن من تسجيل الدخول مرة أخرى 🌱",
}
NAMES = {
    "de": "Gärtnerei für Kräuter, Öl & Süßes aus dem schönen Österreich",
    "ar": "حديقة الأعشاب والزهور في المدينة القديمة",
}


@pytest.fixture
def catalogs(tmp_path):
    """A folder of catalogs with a subject, so that the test does not depend on the words of translators."""
    for language, subject in SUBJECTS.items():
        catalog, file = Catalog(locale=language), BytesIO()
        catalog.add("Test email from %(app_name)s", subject)
        write_mo(file, catalog)
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "messages.mo").write_bytes(file.getvalue())
    return tmp_path


@pytest.mark.parametrize("language", SUBJECTS)
def test_a_mail_server_gets_subjects_and_names_in_encoded_words(make_app, database, catalogs, language):
    server = MailServer("normal", {})
    name = NAMES[language]
    settings = {"LANGUAGES": LANGUAGES, "APP_NAME": name, "BABEL_TRANSLATION_DIRECTORIES": str(catalogs)}
    try:
        with make_app("testing", database, server.settings | settings | {"MAIL_SUPPRESS_SEND": False}):
            outbox.enqueue(Email.TEST, None, to="ada@example.com", language=language)
            db.session.commit()
            assert delivery.deliver() == 1
            assert (newest().status, newest().error) == (Status.SENT, "")
    finally:
        server.stop()
    [received] = server.received
    raw = dict(received.raw_items())
    subject = SUBJECTS[language] % {"app_name": name}
    for header, text in (("Subject", subject), ("From", name)):
        assert raw[header].isascii()
        assert all(len(line) <= 76 for line in f"{header}: {raw[header]}".splitlines())
        words = re.findall(r"=\?utf-8\?[bq]\?[^? ]+\?=", raw[header])
        assert len(words) > 1
        assert max(map(len, words)) <= 75
        for word in words:
            [(content, charset)] = decode_header(word)
            assert content.decode(charset), "no character is split"
        assert str(make_header(decode_header(raw[header]))).startswith(text)
    assert received["Subject"] == subject
    for kind in ("plain", "html"):
        part = received.get_body([kind])
        assert part["Content-Transfer-Encoding"] == "quoted-printable"
        assert name.replace("&", "&amp;" if kind == "html" else "&") in " ".join(part.get_content().split())
