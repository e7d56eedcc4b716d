"""Attacks by email: injected text, links to other sites, and resets that the owner does not notice."""

from targets import Outcome, Stranger

BAIT = "Get-1000-EUR.at.www.evil.example"
ELSEWHERE = [
    "=?utf-8?q?att=40evil.example=3e?=@example.com",
    "x=?iso-8859-1?b?YUBiLmV4YW1wbGU=?=@example.com",
    "ada%evil.example@example.com",
    "evil.example!ada@example.com",
]
NETWORKS = 10


def baiting(target):
    """A link as a name, on the address of somebody who never registered; then emails to them."""
    assert Stranger(target.site).register(BAIT, "baited@example.com").status == 302
    for page in ("/auth/reset", "/auth/magic-link"):
        Stranger(target.site).submit(page, email="baited@example.com")
    emails = target.emails_to("baited")
    yield Outcome(
        "emails to a stranger with a link in a name", len(emails), sum(BAIT in email.text for email in emails)
    )


def leading_elsewhere(target):
    """Addresses that some mail servers deliver to another host."""
    through = 0
    for number, address in enumerate(ELSEWHERE):
        answer = Stranger(target.site).register(f"elsewhere{number}", address)
        through += answer.status == 302
    yield Outcome("addresses that lead to another host", len(ELSEWHERE), through)


def blocking(target):
    """As many requests as an address gets emails; then its owner asks for a reset, on a device of theirs."""
    owner = target.member("blocked")
    owner.submit("/auth/logout")
    for _ in range(NETWORKS):
        Stranger(target.site).submit("/auth/reset", email="blocked@example.com")
    before = len(target.emails_to("blocked"))
    owner.submit("/auth/reset", email="blocked@example.com")
    is_kept_out = len(target.emails_to("blocked")) == before
    yield Outcome("an owner kept from resetting, known device", 1, int(is_kept_out))
