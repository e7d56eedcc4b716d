"""Attacks by force: guessing, flooding, races. Each attack yields its rows of the table."""

from collections import Counter
from functools import partial

from support.clients import PASSWORD
from support.serving import all_at_once
from targets import Outcome, Stranger

GUESSES = 100
FORGED = 60
CROWD = 10
NETWORKS_RATE, ACCOUNTS_RATE = 30, 5  # wrong passwords that are looked at, of a network, and of it for an account
LOGINS_RATE = 30  # in five minutes, to an account from a network
BEFORE_THE_DELAY = 10  # wrong passwords, from all networks together
DOUBLINGS = 9  # of a delay of a second: it takes eight minutes to get so far
EMAILS_RATE = 10  # an hour, to an address
# Of this, a meter tries every combination of what its symbols may stand for.
DEAR_PASSWORD = "a4@8({[<369!1|70$5+%2z4@8({[<369"
# The time to normalize this grows with the square of its length.
DEAR_NAME = "a" + "\u0307" * 4_500 + "\u0323" * 4_500


def guessing(target):
    """A hundred passwords for one account, the right one the 75th; and whether its owner gets in still."""
    owner = target.member("owner")
    owner.submit("/auth/logout")
    passwords = [f"guess number {number}" for number in range(GUESSES)]
    passwords[74] = PASSWORD
    looked_at, let_in = _try(owner.network, target.site, [("owner", password) for password in passwords])
    yield Outcome("passwords of one account: looked at", GUESSES, looked_at, ACCOUNTS_RATE * target.counts())
    yield Outcome("passwords of one account: let in", GUESSES, let_in)
    is_out = owner.log_in("owner").status != 302
    yield Outcome("its owner kept out, same network, known browser", 1, int(is_out))


def spraying(target):
    """One password for a hundred accounts; five of those behind the first fifty have it."""
    names = [f"sprayed{number:03}" for number in range(GUESSES)]
    have_it = names[50::10]
    target.add(set(names) - set(have_it))
    target.add(have_it, "summer in the city")
    looked_at, let_in = _try(None, target.site, [(name, "summer in the city") for name in names])
    yield Outcome("one password for many accounts: looked at", GUESSES, looked_at, NETWORKS_RATE * target.counts())
    yield Outcome("one password for many accounts: let in", GUESSES, let_in)


def forging(target):
    """Another address with each guess: written in front of what the proxy writes; or one's own, of one IPv6 network."""
    target.add(["forged4", "forged6"])
    forged = [f"203.0.113.{number}" for number in range(FORGED)]
    others = ("X_Real_IP", "Client_IP", "True_Client_IP", "CF_Connecting_IP")
    said = [
        {"X_Forwarded_For": f"{ip}, 198.51.100.9", "Forwarded": f"for={ip}", **dict.fromkeys(others, ip)}
        for ip in forged
    ]
    looked_at, _ = _try(None, target.site, [("forged4", "wrong")] * FORGED, said)
    yield Outcome("forged X-Forwarded-For: looked at", FORGED, looked_at, ACCOUNTS_RATE * target.counts())
    said = [{"X_Forwarded_For": f"2001:db8:0:9:{number:x}::1"} for number in range(FORGED)]
    looked_at, _ = _try(None, target.site, [("forged6", "wrong")] * FORGED, said)
    yield Outcome("addresses of one IPv6 network: looked at", FORGED, looked_at, ACCOUNTS_RATE * target.counts())


def moving(target):
    """One account, guessed from a new network each time: of one IPv6 site, or anywhere."""
    target.add(["moved6", "moved4"])
    said = [{"X_Forwarded_For": f"2001:db8:77:{number:x}::1"} for number in range(FORGED)]
    looked_at, _ = _try(None, target.site, [("moved6", "wrong")] * FORGED, said)
    yield Outcome("networks of one IPv6 site: looked at", FORGED, looked_at, ACCOUNTS_RATE * target.counts())
    said = [{"X_Forwarded_For": f"198.19.0.{number}"} for number in range(GUESSES)]
    looked_at, _ = _try(None, target.site, [("moved4", "wrong")] * GUESSES, said)
    yield Outcome("as many networks as guesses: looked at", GUESSES, looked_at, BEFORE_THE_DELAY + DOUBLINGS)


def crowding(target):
    """Passkeys that nobody knows; and the right password of one account, again and again."""
    stranger, statuses = Stranger(target.site), Counter()
    token = stranger.get("/auth/login").token
    for _ in range(GUESSES):
        statuses[stranger.copy().post("/auth/login", csrf_token=token, credential="x").status] += 1
    yield Outcome("unknown passkeys: looked at", GUESSES, statuses[422], NETWORKS_RATE * target.counts())
    target.add(["crowded"])
    _, let_in = _try(None, target.site, [("crowded", PASSWORD)] * FORGED)
    yield Outcome("logins to one account: let in", FORGED, _some(let_in), LOGINS_RATE * target.counts())


def bombing(target):
    """Emails to one mailbox by every flow that sends one, from a new browser and network each time."""
    asked = _bomb_an_account(target)
    yield Outcome("emails to the owner of an account", asked, len(target.emails_to("bombed")), EMAILS_RATE)
    asked = _bomb_a_stranger(target)
    yield Outcome("emails to one without an account", asked, len(target.emails_to("nobody")), EMAILS_RATE)


def racing(target):
    """Ten browsers use one link at the same moment: one may."""
    target.add(["raced"])
    link, posts = target.link_to("raced", "/auth/reset"), []
    for number in range(CROWD):
        browser, password = Stranger(target.site), f"lantern number {number}"
        words = {"password": password, "confirm_password": password}
        posts.append(partial(browser.post, link, csrf_token=browser.get(link).token, **words))
    answers = Counter(answer.status for answer in all_at_once(posts))
    yield Outcome("one reset link, ten at once", CROWD, _some(answers[302]), 1)
    link = target.link_to("raced", "/auth/magic-link")
    browsers = [Stranger(target.site) for _ in range(CROWD)]
    all_at_once([partial(browser.post, link, csrf_token=browser.get(link).token) for browser in browsers])
    yield Outcome("one magic link, ten at once", CROWD, _some(sum(browser.is_in() for browser in browsers)), 1)


def _try(network, site, pairs, said=None):
    """Send each pair of a name and a password; return how many were looked at, and how many let in."""
    stranger, statuses = Stranger(site, network), Counter()
    token = stranger.get("/auth/login").token
    for (login, password), headers in zip(pairs, said or [{}] * len(pairs), strict=True):
        copy = stranger.saying(**headers)
        statuses[copy.post("/auth/login", csrf_token=token, login=login, password=password).status] += 1
    assert set(statuses) <= {302, 422, 429}, f"these were no tries: {statuses}"
    return statuses[302] + statuses[422], statuses[302]


def _bomb_an_account(target):
    """One without a password, so that codes can be sent to it, too."""
    target.add(["bombed"], password=None)
    owner, asked = Stranger(target.site), 1
    owner.submit(target.link_to("bombed", "/auth/magic-link"))
    assert owner.is_in()
    for spelled in ["bombed@example.com", "Bombed@EXAMPLE.com"] * 3:
        for page in ("/auth/reset", "/auth/magic-link"):
            _ask(Stranger(target.site), page, email=spelled)
        _ask(owner, "/auth/reauthenticate", send_code="y")
        asked += 3
    return asked


def _bomb_a_stranger(target):
    """As long as nobody has the address: those who want to move to it, or wrote it by mistake, and who registers it."""
    members = [target.member(f"mover{number}") for number in range(3)]
    newcomers = [Stranger(target.site) for _ in range(2)]
    for number, newcomer in enumerate(newcomers):
        assert newcomer.register(f"newcomer{number}").status == 302
    email, asked = "nobody@example.com", 0
    for _ in range(2):
        for member in members:
            _ask(member, "/auth/change-email", email=email, password=PASSWORD)
        for page in ("/auth/reset", "/auth/magic-link") * 2:
            _ask(Stranger(target.site), page, email=email)
        asked += 7
    for newcomer in newcomers:
        _ask(newcomer, "/auth/unconfirmed", email=email)
    owner = Stranger(target.site)
    assert owner.register("newcomer", email).status == 302
    token = owner.get("/auth/unconfirmed").token
    for _ in range(5):
        owner.post("/auth/confirm", csrf_token=token)
    return asked + len(newcomers) + 6


def _ask(browser, page, **fields):
    answer = browser.submit(page, **fields)
    assert answer.status in {200, 302, 422}, f"{page}: {answer.status}"


def _some(number):
    assert number, "nobody got through, who should have"
    return number


def exhausting(target):
    """A name that takes long to look at, in the time of an ordinary one: the best of three each."""
    ordinary, dear = (
        min(Stranger(target.site).submit("/auth/login", login=name, password="x").seconds for _ in range(3))
        for name in ("nobody", DEAR_NAME)
    )
    told = f"{dear * 1000:.0f} ms, an ordinary one {ordinary * 1000:.0f} ms"
    yield Outcome("a name that takes five times as long to refuse", 3, int(dear > 5 * ordinary + 0.02), told=told)
    ordinary, dear = (
        min(_choose(target, password).seconds for _ in range(3)) for password in ("password1", DEAR_PASSWORD)
    )
    told = f"{dear * 1000:.0f} ms, an ordinary one {ordinary * 1000:.0f} ms"
    yield Outcome("a password that takes five times as long to estimate", 3, int(dear > 5 * ordinary + 0.1), told=told)


def _choose(target, password):
    fields = {"email": "chosen@example.com", "username": "x" * 70, "password": password, "confirm_password": password}
    return Stranger(target.site).submit("/auth/register", **fields)
