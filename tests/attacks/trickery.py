"""Attacks by deception: reused or planted cookies, redirects, other hosts, cross-site forms, confusable names."""

from itertools import count
from urllib.parse import quote, urljoin, urlsplit

from support.clients import PASSWORD
from targets import Outcome, Stranger

EVIL = "evil.example"
LEAD_AWAY = [
    f"https://{EVIL}/",
    f"//{EVIL}",
    f"///{EVIL}",
    f"/\\{EVIL}",
    f"\\\\{EVIL}",
    f"/\t/{EVIL}",
    f" //{EVIL}",
    f"https:/{EVIL}",
    f"https://localhost@{EVIL}",
    f"https://localhost.{EVIL}",
    f"http:\\\\{EVIL}",
    "javascript:alert(1)",
]
OFFICIAL = ["Admin.", "admin-", "adm1n", "flasky.", "no-reply", "supp0rt", "flasky-support", "rnoderator"]
NEW = {"password": "another lantern", "confirm_password": "another lantern"}

THIEVES, GUESSED_CODES = 3, 7

numbers = count()  # of names


def replaying(target):
    """Cookies that a thief copied: what they are worth once the owner has logged out, or has another password."""
    owner = target.member("replayed")
    stolen = owner.copy()
    assert stolen.is_in()
    owner.submit("/auth/logout")
    yield Outcome("a copied cookie after logout", 1, int(stolen.is_in()))
    owner, thief = target.member("changed"), Stranger(target.site)
    stolen = owner.copy()
    assert thief.log_in("changed").status == 302
    assert owner.submit("/auth/change-password", old_password=PASSWORD, **NEW).status == 302
    assert owner.is_in()
    through = sum(browser.is_in() for browser in (thief, stolen))
    yield Outcome("another browser, a copied cookie, after a new password", 2, through)


def planting(target):
    """A thief's own session, put into the owner's browser before it logs in."""
    target.add(["planted"])
    thief = Stranger(target.site)
    token = thief.get("/auth/login").token
    owner = thief.copy()
    assert owner.log_in("planted").status == 302
    yield Outcome("a session planted before login", 1, int(thief.is_in()))
    owner.get("/auth/change-password")
    answer = owner.post("/auth/logout", csrf_token=token)
    yield Outcome("its form token, after login", 1, int(answer.status not in {400, 403}))


def staging(target):
    """A session of another instance that has the same SECRET_KEY and a copy of the database, under this one's names."""
    target.add(["staged"])
    there = Stranger(target.staging)
    assert there.log_in("staged").status == 302
    assert there.is_in()
    here, ports = Stranger(target.site), (str(target.staging.port), str(target.site.port))
    here.cookies = {name.replace(*ports): value for name, value in there.cookies.items()}
    yield Outcome("a session cookie of an instance with the same key", 1, int(here.is_in()))


def stealing(target):
    """A stolen password, from devices that the account was never used on, and guesses at the codes of the emails."""
    target.member("robbed")
    through = 0
    for _ in range(THIEVES):
        thief = Stranger(target.site_with_device_codes)
        assert thief.log_in("robbed").status == 302
        for _ in range(GUESSED_CODES):
            if thief.is_in():
                break
            thief.submit("/auth/verify-device", code=f"{next(numbers):08}")
        through += thief.is_in()
    yield Outcome("a stolen password on a new device, and guessed codes", THIEVES, through)


def planting_a_deletion(target):
    """The deletion of an account, asked for by a thief who registered it with the owner's address."""
    thief, email = Stranger(target.site), "leaver@example.com"
    assert thief.register("leaver", email).status == 302
    thief.submit("/auth/delete", email=email)
    owner = Stranger(target.site)
    link = target.link_to("leaver", "/auth/reset")
    assert owner.submit(link, **NEW).status == 302
    assert owner.log_in("leaver", NEW["password"]).status == 302
    owner.get("/")
    yield Outcome("a deletion planted before the first proof", 1, int(not owner.is_in()))


def leading_away(target):
    """Addresses to go on to after login: would a browser leave the site?"""
    target.add(["led"])
    away = 0
    for there in LEAD_AWAY:
        browser = Stranger(target.site)
        answer = browser.submit(f"/auth/login?next={quote(there, safe='')}", login="led", password=PASSWORD)
        assert answer.status == 302
        away += _leaves(answer.headers["Location"], f"https://localhost:{target.site.port}")
    yield Outcome("led to another site by next", len(LEAD_AWAY), away)


def other_hosts(target):
    """A reset asked for at another host: do the links of the emails lead there?"""
    target.add(["hosted"])
    browser = Stranger(target.site)
    token, here = browser.get("/auth/reset").token, f"localhost:{target.site.port}"
    said = [
        {"Host": EVIL},
        {"Host": f"{EVIL}:{target.site.port}"},
        {"X_Forwarded_Host": EVIL},
        {"X_Forwarded_Host": f"{here}, {EVIL}"},
        {"Forwarded": f"host={EVIL}"},
        {"X_Original_URL": f"https://{EVIL}/", "X_Host": EVIL, "X_Forwarded_Server": EVIL, "X_Forwarded_Prefix": EVIL},
    ]
    for headers in said:
        browser.saying(**headers).post("/auth/reset", csrf_token=token, email="hosted@example.com")
    emails = sum(EVIL in email.text for email in target.emails_to("hosted"))
    yield Outcome("emails whose links lead to a forged host", len(said), emails)


def other_sites(target):
    """Forms sent without their token, with a token of somebody else's, or by a page of another site."""
    others = {"csrf_token": Stranger(target.site).get("/auth/login").token}
    yield _send_all(target, "without a token", token={})
    yield _send_all(target, "with another's token", token=others)
    yield _send_all(target, "with its token, by another site", Sec_Fetch_Site="cross-site")
    yield _send_all(target, "with its token, from another's page", Referer=f"https://{EVIL}/", Origin=f"https://{EVIL}")


def impersonating(target):
    """Usernames that others would take for the site's own."""
    answers = [
        Stranger(target.site).register(name, f"impostor{number}@example.com") for number, name in enumerate(OFFICIAL)
    ]
    given_out = sum(answer.status == 302 for answer in answers)
    yield Outcome("usernames like the site's own, given out", len(OFFICIAL), given_out)


def prefilling(target):
    """A form of another site's page, which a browser sends without cookies, and some without Sec-Fetch-Site."""
    victim = target.member("prefilled")
    stripped = victim.saying(Origin=f"https://{EVIL}", Referer="")
    stripped.cookies = {}
    answer = stripped.post("/auth/login", login="attackers.own", password="x")
    yield Outcome("another site's words shown in a form", 1, int("attackers.own" in answer.text))
    yield Outcome("a session that replaces the visitor's", 1, int("Set-Cookie" in answer.headers))


def remembering(target):
    """A form that comes back with what was typed: may a cache keep it?"""
    answer = Stranger(target.site).submit("/auth/login", login="typed.by.me", password="x")
    is_kept = "typed.by.me" in answer.text and "no-store" not in answer.headers.get("Cache-Control", "")
    yield Outcome("a page with what was typed that a cache may keep", 1, int(is_kept))


def _send_all(target, how, token=None, **headers):
    """Send forms as a stranger, and as somebody who is logged in; with their own token if none is given."""
    name = f"tricked{next(numbers)}"
    member, stranger, through = target.member(name), Stranger(target.site), 0
    forms = [
        (stranger, "/auth/login", {"login": name, "password": PASSWORD}),
        (stranger, "/auth/reset", {"email": f"{name}@example.com"}),
        (stranger, "/auth/magic-link", {"email": f"{name}@example.com"}),
        (member, "/auth/change-password", {"old_password": PASSWORD} | NEW),
        (member, "/auth/change-email", {"email": "mine@evil.example", "password": PASSWORD}),
        (member, "/auth/logout", {}),
    ]
    own = {browser: {"csrf_token": browser.get(page).token} for browser, page, _ in (forms[0], forms[3])}
    for browser, page, fields in forms:
        sent = own[browser] if token is None else token
        through += browser.saying(**headers).post(page, **sent, **fields).status not in {400, 403}
    return Outcome(f"a form {how}", len(forms), through)


def _leaves(there, site):
    """Say whether a browser would leave: it drops tabs and line breaks, and reads a backslash as a slash."""
    there = there.strip().replace("\t", "").replace("\n", "").replace("\r", "").replace("\\", "/")
    scheme, slashes, rest = there.partition(":")
    if slashes and scheme in {"http", "https"}:
        there = f"{scheme}://{rest.lstrip('/')}"
    elif there.startswith("//"):
        there = f"//{there.lstrip('/')}"
    url = urlsplit(urljoin(site, there))
    return f"{url.scheme}://{url.netloc}" != site
