"""The development mailbox."""

import html
import re
from itertools import combinations, product
from pathlib import Path

import pytest
from flask_mail import Message
from jinja2 import ChoiceLoader, DictLoader
from support.registration import FORM

from app.dev import mailbox
from app.email import message
from app.email.templates import Email

HOSTILE = """<script>parent.alert("out")</script><form action="https://evil.example"><button>Win</button></form>
<img src="https://evil.example/a.gif" onerror="parent.alert('out')"><a href="javascript:parent.alert('out')">more</a>"""


@pytest.fixture
def development(make_app, databases, tmp_path):
    """Make a development application, with its mailbox in a temporary folder."""

    def make(**settings):
        own = {
            "SECRET_KEY": "for tests alone, and long enough to be a key", "MAILBOX": str(tmp_path / "mailbox"),
            "MAIL_DELIVERY": "off", "PASSWORD_HASH": "pbkdf2:sha256:1", "WTF_CSRF_ENABLED": False,
        }  # fmt: skip
        return make_app("development", databases("sqlite"), own | settings)

    return make


@pytest.fixture
def app(development):
    with development() as app:
        yield app


@pytest.fixture
def post(app):
    """Send an email with arbitrary content, as Flask-Mail does."""

    def send(to="ada@example.com", subject="News", text="Nothing new.", html="<p>Nothing new.</p>"):
        app.extensions["mail"].send(Message(subject, [to], text, html))

    return send


@pytest.fixture
def pages(client, post):
    """Return the URLs of the mailbox, of an email in it, and of that email's HTML."""
    post()
    mailbox = client.get("/dev/mailbox")
    (email,) = emails_on(mailbox)
    return ["/dev/mailbox", email, f"{email}/html"]


def emails_on(page):
    return re.findall(r'href="(/dev/mailbox/[^"]+)"', page.text)


def test_the_mailbox_shows_an_email_and_its_link_works(client, outbox):
    client.post("/auth/register", data=FORM)
    assert "No email yet." in client.get("/dev/mailbox").text
    outbox()
    mailbox = client.get("/dev/mailbox")
    assert "Confirm your email address for Flasky" in mailbox.text
    assert "to eve@example.com" in mailbox.text

    (address,) = emails_on(mailbox)
    email = client.get(address)
    assert '<h1 dir="auto">Confirm your email address for Flasky (code ' in email.text
    assert "Flasky <no-reply@localhost>" in html.unescape(email.text)
    assert "eve@example.com" in email.text
    as_text = email.text.partition('<div class="email-text">')[2]
    assert "Confirm your email address to finish" in as_text
    (link,) = set(re.findall(r'href="(http[^"]+)"', as_text))
    as_html = client.get(f"{address}/html").text
    assert "Confirm your email address to finish" in as_html
    assert set(re.findall(r'href="(http[^"]+)"', as_html)) == {link}

    assert link.startswith("http://localhost:5000/auth/confirm/")
    assert "Your email address is confirmed" in client.get(link, follow_redirects=True).text


@pytest.mark.parametrize("address", ["bob@example.com", "BOB@Example.com", " bob@example.com ", "bob"])
def test_the_mailbox_filters_by_address(client, post, address):
    post(to="ada@example.com", subject="To Ada")
    post(to="bob@example.com", subject="To Bob")
    mailbox = client.get("/dev/mailbox", query_string={"address": address}).text
    assert "To Bob" in mailbox
    assert "To Ada" not in mailbox


def test_the_mailbox_says_that_an_address_has_no_emails(client, post):
    post()
    mailbox = client.get("/dev/mailbox", query_string={"address": "<eve>@example.com"})
    assert emails_on(mailbox) == []
    assert "No email to &lt;eve&gt;@example.com yet." in mailbox.text


@pytest.fixture
def parsed(monkeypatch):
    """Collect the files of the emails that are parsed."""
    files, open_file, read_bytes = [], Path.open, Path.read_bytes

    def note(file):
        files.extend([file.name] if file.parent.name == "new" else [])

    monkeypatch.setattr(Path, "open", lambda file, *a, **k: note(file) or open_file(file, *a, **k))
    monkeypatch.setattr(Path, "read_bytes", lambda file: note(file) or read_bytes(file))
    return files


def test_the_mailbox_keeps_the_newest_emails_in_pages(client, post, tmp_path):
    for number in range(mailbox.MAX_KEPT + 5):
        post(subject=f"Number {number};")
    assert len(list(tmp_path.glob("mailbox/new/*"))) == mailbox.MAX_KEPT
    numbers, address = [], "/dev/mailbox"
    while address:
        page = client.get(address)
        numbers += re.findall(r"Number (\d+);", page.text)
        assert len(emails_on(page)) <= mailbox.PAGE_SIZE
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = older and html.unescape(older[1])
    assert numbers == [str(number) for number in reversed(range(5, mailbox.MAX_KEPT + 5))]


def test_a_mailbox_over_its_limit_is_cut_by_the_next_email(client, post, tmp_path, parsed):
    post()
    [first] = tmp_path.glob("mailbox/new/*")
    text = first.read_bytes()
    for number in range(1, 1762):
        (first.parent / f"{number}.old").write_text(text.decode())
    del parsed[:]
    assert client.get("/dev/mailbox").status_code == 200
    assert len(parsed) == mailbox.PAGE_SIZE + 1
    post()
    assert len(list(first.parent.iterdir())) == mailbox.MAX_KEPT


def test_a_mailbox_page_reads_each_of_its_emails_once(client, post, parsed):
    for number in range(120):
        post(subject=f"Number {number}", to=f"person{number % 2}@example.com")
    del parsed[:]
    client.get("/dev/mailbox")
    assert len(parsed) == mailbox.PAGE_SIZE + 1, "one more, to know whether there are older emails"
    client.get("/dev/mailbox")
    assert len(parsed) == mailbox.PAGE_SIZE + 1
    for _ in range(2):
        client.get("/dev/mailbox?address=nobody@example.com")
    assert len(parsed) == len(set(parsed)) == 120


@pytest.mark.parametrize("page", ["0", "-1", "99", "x", "9" * 30])
def test_mailbox_pages_out_of_range(client, post, page):
    post()
    assert client.get(f"/dev/mailbox?page={page}").status_code == 200


def test_the_mailbox_deletes_one_email_or_the_list(client, post):
    for name in ("ada", "ada", "bob", "eve", "eve"):
        post(to=f"{name}@example.com")
    newest, *_ = emails_on(client.get("/dev/mailbox"))
    assert client.get(f"{newest}/delete").status_code == 405
    assert client.post(f"{newest}/delete").location == "/dev/mailbox"
    assert client.get(newest).status_code == client.post(f"{newest}/delete").status_code == 404
    assert len(emails_on(client.get("/dev/mailbox"))) == 4
    client.post("/dev/mailbox/delete?address=ADA@example.com")
    rest = client.get("/dev/mailbox")
    assert len(emails_on(rest)) == 2
    assert "ada@" not in rest.text
    client.post("/dev/mailbox/delete")
    assert "No email yet." in client.get("/dev/mailbox").text


@pytest.mark.parametrize("name", ["Zoë", "鈴木 花子", 'ada, bob; and "eve"'])
def test_the_mailbox_shows_non_ascii_emails(client, post, name):
    post(subject=f"For {name}", text=f"Hello {name},", html=f"<p>Hello {name},</p>")
    (address,) = emails_on(client.get("/dev/mailbox"))
    page = html.unescape(client.get(address).text)
    assert f"For {name}" in page
    assert f"Hello {name}," in page
    assert f"Hello {name}," in client.get(f"{address}/html").text


def test_unconfirmed_users_can_open_the_mailbox(client, bob, pages):
    client.log_in(bob)
    assert client.get("/account").location == "/auth/unconfirmed"
    pages += ["/dev/emails", "/dev/emails/confirm", "/dev/emails/confirm/html"]
    assert [client.get(page).status_code for page in pages] == [200] * 6
    assert client.post(f"{pages[1]}/delete").location == "/dev/mailbox"
    assert client.post("/dev/mailbox/delete?address=ada@example.com").location == "/dev/mailbox"
    assert emails_on(client.get("/dev/mailbox")) == []


@pytest.mark.parametrize(
    "key", ["nobody", "*", "..", "%2e%2e", "../app.db", "..%2fapp.db", "%2e%2e%2fapp.db", "..%5capp.db", "a%00b", "%ff"]
)
def test_a_missing_email_is_404(client, pages, tmp_path, key):
    assert (tmp_path / "app.db").exists()
    assert client.get(f"/dev/mailbox/{key}").status_code == 404
    assert client.get(f"/dev/mailbox/{key}/html").status_code == 404


def test_the_html_of_an_email_is_sandboxed(client, post):
    post(html=HOSTILE)
    (address,) = emails_on(client.get("/dev/mailbox"))
    page = client.get(address)
    (frame,) = re.findall(r"<iframe[^>]*>", page.text)
    assert f'src="{address}/html"' in frame
    assert 'sandbox="allow-top-navigation-by-user-activation"' in frame
    assert "evil.example" not in page.text

    answer = client.get(f"{address}/html")
    assert HOSTILE in answer.text.replace("\r\n", "\n")
    (header,) = answer.headers.getlist("Content-Security-Policy")
    allowed = dict(directive.strip().partition(" ")[::2] for directive in header.split(";"))
    assert allowed == {
        "default-src": "'none'",  # no scripts, and nothing is loaded
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "frame-ancestors": "'self'",
        "sandbox": "allow-top-navigation-by-user-activation",  # no scripts and forms, and an origin of its own
    }
    assert answer.mimetype == "text/html"


def test_an_email_is_shown_on_a_phone_and_in_both_schemes(client, outbox):
    client.post("/auth/register", data=FORM)
    outbox()
    (address,) = emails_on(client.get("/dev/mailbox"))
    page = client.get(f"{address}?width=phone&scheme=dark").text
    assert 'class="email-frame email-frame-phone' in page
    assert f'src="{address}/html?scheme=dark"' in page
    assert re.findall(r'aria-current="true">(\w+)<', page.partition("email-views")[2]) == ["Phone", "Dark"]
    shown = {scheme: client.get(f"{address}/html?scheme={scheme}").text for scheme in ("light", "dark", "nonsense")}
    assert "@media not all {" in shown["light"]
    assert "@media all {" in shown["dark"]
    assert '<meta name="color-scheme" content="dark">' in shown["dark"]
    assert shown["nonsense"] == client.get(f"{address}/html").text


def test_every_email_has_a_preview_that_is_neither_sent_nor_stored(client, outbox):
    previews = re.findall(r'href="(/dev/emails/\w+)"', client.get("/dev/emails").text)
    ours = [f"/dev/emails/{name}" for name in Email]
    assert previews[: len(ours)] == ours, "an application's own are below"
    for address in ours:
        page, shown = client.get(address), client.get(f"{address}/html")
        assert f'src="{address}/html"' in page.text
        assert "app/templates/email/" in page.text
        assert (page.status_code, shown.status_code) == (200, 200)
        assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
        assert not re.search(r"\{\{|None|Undefined", page.text.partition('class="email-text"')[2] + shown.text)
    assert client.get("/dev/emails/nonsense").status_code == 404
    assert outbox() == []


def test_previews_are_shown_in_each_language(app, client):
    assert "language=" not in client.get("/dev/emails").text, "there is no choice"
    app.config["LANGUAGES"] = ["en", "de", "ar"]
    page = client.get("/dev/emails?language=de").text
    assert re.findall(r'aria-current="true">(\w+)<', page) == ["Deutsch"]
    assert 'href="/dev/emails/code?language=de"' in page
    page = client.get("/dev/emails/code?language=ar&width=phone").text
    assert re.findall(r'aria-current="true">(\w+)<', page) == ["Phone", "System", "العربية"]
    assert 'href="/dev/emails/code?language=de"' in page
    (frame,) = re.findall(r'<iframe .*?src="([^"]*)"', page, re.DOTALL)
    assert '<html lang="ar" dir="rtl">' in client.get(html.unescape(frame)).text
    german = client.get("/dev/emails/code", headers={"Accept-Language": "de"}).text
    assert "Deutsch" in re.findall(r'aria-current="true">(\w+)<', german), "as the page is"


def test_previews_leave_out_what_is_off(app, client):
    app.config.update(USERNAMES="off", CONFIRMATION="off")
    page = client.get("/dev/emails").text
    assert "/dev/emails/confirm" not in page
    assert client.get("/dev/emails/confirm").status_code == 404
    for name in (name for name in Email if name != Email.CONFIRM):
        shown = client.get(f"/dev/emails/{name}").text
        assert not re.search("username|Hello ada", shown), name


WAYS = ("password", "magic_link", "passkey")
LOGIN_METHODS = [("none",), *(some for count in (1, 2, 3) for some in combinations(WAYS, count))]


@pytest.mark.extended
@pytest.mark.parametrize("methods", LOGIN_METHODS, ids="+".join)
def test_previews_work_with_every_combination_of_switches(development, methods):
    for two_factor, usernames, confirmation in product((True, False), ("required", "off"), ("required", "off")):
        switched = {"TWO_FACTOR": two_factor, "USERNAMES": usernames, "CONFIRMATION": confirmation}
        with development(LOGIN_METHODS=methods, **switched) as app:
            assert app.test_client().get("/dev/emails").status_code == 200, switched  # it renders them all


def test_a_preview_names_the_values_that_have_no_sample(app, client, monkeypatch):
    text = "{{ plants }} plants grow in {{ unlinked(garden) }}.\n\nOpen:\n{{ link('auth.unlink', number=plant_id) }}"
    own = DictLoader({"email/reset.txt": f"Subject: Your garden\n\n{text}\n"})
    monkeypatch.setattr(app.jinja_env, "loader", ChoiceLoader([own, app.jinja_env.loader]))
    page = client.get("/dev/emails/reset").text
    assert "{{ plants }} plants grow in {{ garden }}." in page
    assert "/auth/connections/1/unlink" in page


def test_an_email_that_cannot_be_previewed_says_why_in_its_place(app, client, monkeypatch):
    faulty = {"reset": "{{ paid_at | day }}", "confirm": "{{ plants | number }}", "code": "{{ seconds | duration }}"}
    faulty["test"] = "{% if %}"
    own = DictLoader({f"email/{name}.txt": f"Subject: Yours\n\n{text}\n" for name, text in faulty.items()})
    monkeypatch.setattr(app.jinja_env, "loader", ChoiceLoader([own, app.jinja_env.loader]))
    page = html.unescape(client.get("/dev/emails").text)
    missing = {"reset": "paid_at", "confirm": "plants", "code": "seconds"}
    for name in faulty:
        problem = f"email/{name}.txt can't be previewed. "
        problem += f"SAMPLE has no value for: {missing[name]}. " if name in missing else "TemplateSyntaxError: "
        assert problem in page
        assert problem in html.unescape(client.get(f"/dev/emails/{name}").text)
        assert problem in html.unescape(client.get(f"/dev/emails/{name}/html").text)
    assert page.count("can't be previewed") == len(faulty)
    assert page.count("<code>") >= len(Email), "the others as usual"


def test_the_mailbox_joins_the_wrapped_lines_of_an_email(app, client):
    lines = [f"{'A long line of words. ' * 10}End.", "From here on, as it is.", "Another paragraph."]
    app.extensions["mail"].send(message.Message("News", ["ada@example.com"], "\n\n".join(lines)))
    (address,) = emails_on(client.get("/dev/mailbox"))
    shown = client.get(address).text.partition('<div class="email-text">')[2].partition("</div>")[0]
    assert shown.strip().split("\n\n") == lines


def test_the_text_of_an_email_is_escaped(client, post):
    post(to='"<b>Ada</b>" <ada@example.com>', subject="<script>alert(1)</script>", text=HOSTILE)
    mailbox = client.get("/dev/mailbox")
    (address,) = emails_on(mailbox)
    for page in (mailbox, client.get(address)):
        assert "alert(1)" in page.text
        assert not re.search(r"<script>|<b>|<form action=\"https|<img src=\"https|href=\"javascript:", page.text)


LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1"]
OTHER_HOSTS = ["192.0.2.1", "10.0.0.1", "0.0.0.0", "128.0.0.1", "2001:db8::1", "fe80::1%eth0", ""]


@pytest.mark.parametrize("peer", [*LOOPBACK, *OTHER_HOSTS])
def test_the_mailbox_answers_loopback_and_refuses_other_hosts(client, pages, peer):
    answers = [client.get(page, environ_base={"REMOTE_ADDR": peer}) for page in pages]
    assert [answer.status_code for answer in answers] == [200 if peer in LOOPBACK else 404] * 3
    assert any("Nothing new." in answer.text for answer in answers) is (peer in LOOPBACK)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"])
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
def test_the_mailbox_refuses_proxied_requests(client, pages, header, value):
    answers = [client.get(page, headers={header: value}) for page in pages]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
