"""What every email says and how it looks: both parts alike, one button, a reason, colors, size."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from support.clients import PASSWORD, on_sqlite
from support.contrast import contrast
from support.emails import TEMPLATES, code_in, send_whole
from support.registration import FORM

from app.dev.previews import sample
from app.email.composition import compose
from app.email.rendering import common_values
from app.email.templates import Email

pytestmark = on_sqlite

EVERY_EMAIL = pytest.mark.parametrize("name", Email)
CODES = {Email.CODE, Email.VERIFY_DEVICE}  # emails that ask for a code alone
VOID = {"meta", "br"}
MAX_SIZE = 16 * 1024  # bytes; Gmail cuts an email after 102 KB
COPY = "If the button doesn't work, copy this link into your browser:"


@pytest.fixture
def settings():
    return {"SUPPORT_EMAIL": "help@flasky.example"}


class Reader(HTMLParser):
    """Reads HTML as a mail client shows it: its text, and the colors of each word in both schemes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.colors, self.styles = "", set(), [({}, {})]
        dark = re.search(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n    \}", html, re.DOTALL)[1]
        self.dark = {name: declarations(rule) for name, rule in re.findall(r"\.(\w+) \{(.*?)\}", dark)}
        self.feed(html.partition("</head>")[2])

    def handle_starttag(self, tag, attributes):
        if tag in VOID:
            self.text += "\n"
            return
        given = dict(attributes)
        own = declarations(given.get("style") or "")
        light, dark = ({**style, **own} for style in self.styles[-1])
        for name in (given.get("class") or "").split():
            dark |= self.dark.get(name, {})
        self.styles.append((light, dark))

    def handle_endtag(self, tag):
        self.styles.pop()

    def handle_data(self, data):
        if self.styles[-1][0].get("display") == "none":
            return
        self.text += data
        if data.strip():
            self.colors |= {(style["color"], style["background-color"]) for style in self.styles[-1]}


def in_one_line(text):
    return " ".join(text.split())


def declarations(style):
    pairs = (part.partition(":") for part in style.replace("!important", "").split(";") if ":" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


@pytest.fixture
def sent(ada, outbox):
    """Send an email with every value that its template may need, and return it."""

    def send(name):
        send_whole(name, ada)
        return outbox()[-1]

    return send


@EVERY_EMAIL
def test_both_parts_of_an_email_say_the_same(sent, name):
    message = sent(name)
    said, _, copied = in_one_line(Reader(message.html).text).removeprefix("Flasky ").partition(f" {COPY} ")
    links = re.findall(r"http\S+", message.body)
    assert copied == ("" if name in CODES else "".join(links[:1]))
    text = re.sub(r":\nhttp\S+", "", message.body).replace("\n-- \n", "\n")
    assert said == in_one_line(text)


@EVERY_EMAIL
def test_an_email_has_one_button_and_says_when_its_link_expires(sent, name):
    message = sent(name)
    buttons = len(re.findall(r'<a [^>]*class="button"', message.html))
    assert buttons == ("http" in message.body and name not in CODES)
    if name.purpose or "wasn't me:" in message.body:
        assert re.search(r"expires in (an hour|a day|15 minutes)\.|works until [\w ,:]+ UTC\.", message.body)


@EVERY_EMAIL
def test_an_email_says_why_it_was_sent_and_whom_to_ask(sent, name):
    body, _, closing = sent(name).body.partition("\n-- \n")
    assert re.match(r"(You received this email because|We email you|We sent this email to) .+\.\n\n", closing)
    assert closing.endswith("\nNeed help? Reply to this email, or write to help@flasky.example.\n")
    assert "\n--" not in body
    assert re.search(r"If (it wasn't|you didn't|it was you|this was you)", body), "what to do about a surprise"


def test_an_address_that_nobody_has_confirmed_is_not_told_the_ip_address(client, ada, outbox):
    """A mistyped address is someone else's. An email to the owner of an account names the IP address."""
    client.log_in(ada)
    client.post("/auth/change-email", data={"email": "lovelace@example.com", "password": PASSWORD})
    client.post("/auth/logout")
    client.post("/auth/register", data=FORM)
    told = {message.recipients[0]: "IP address" in message.body or "IP address" in message.html for message in outbox()}
    assert told == {"lovelace@example.com": False, "ada@example.com": True, "eve@example.com": False}


@EVERY_EMAIL
def test_the_subject_of_an_email_has_its_code(sent, name):
    message = sent(name)
    has_code = "{{ code }}" in (TEMPLATES / f"{name}.txt").read_text().partition("\n")[2]
    assert has_code is bool(re.search(r"\d{4} \d{4}", message.subject))
    assert not has_code or code_in(message) in message.subject
    assert len(message.subject) <= 70


@EVERY_EMAIL
def test_mail_clients_preview_the_first_sentence_after_the_greeting(sent, name):
    message = sent(name)
    preview = re.search(r'<div class="preview"[^>]*>(.*?)&#847;', message.html, re.DOTALL)[1]
    assert unescape(preview) == message.body.split("\n\n")[1]
    assert len(message.as_bytes()) < MAX_SIZE


@pytest.mark.parametrize("accent", ["#0f766e", "#fde68a", "#1e1b4b", "#dc2626"])
def test_emails_are_readable_in_both_schemes_with_any_accent(make_app, database, accent):
    with make_app("testing", database, {"ACCENT_COLOR": accent}):
        values = common_values() | sample() | {"user": None}
        colors = set().union(*(Reader(compose(name, "a@b.example", values).html).colors for name in Email))
    assert len(colors) > 10
    assert [pair for pair in colors if contrast(*pair) < 4.5] == []
