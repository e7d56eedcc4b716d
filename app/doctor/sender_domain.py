"""SPF, DKIM and DMARC: the DNS records by which receivers see that the emails of MAIL_SENDER's domain are genuine."""

from collections.abc import Iterator
from email.utils import parseaddr

from flask import current_app

from app.doctor.findings import Finding, Skipped, recommendation, require

TIMEOUT = 3  # seconds for a record
SELECTORS = ("default", "dkim", "mail", "google", "selector1", "s1", "k1", "pm")  # of DKIM keys: usual ones


def sender_domain() -> Iterator[Finding]:
    """Look up the records, and say which ones are missing."""
    require("MAIL_SERVER")
    domain = parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1].rpartition("@")[2]
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1] in current_app.config["EMAIL_SPECIAL_DOMAINS"]:
        raise Skipped(f"{domain} is not a public domain")
    if _records(domain) is None:
        yield recommendation(f"DNS has no {domain}, the domain of MAIL_SENDER.", "Is it spelled correctly?")
        return
    spf = _starting("v=spf1", domain)
    if len(spf) > 1:
        yield Finding(f"{domain} has {len(spf)} SPF records, so receivers ignore them all.", "Merge them into one.")
    elif not spf:
        cause = f"{domain} has no SPF record, which says which servers may send its emails."
        yield recommendation(cause, f"Add a TXT record to {domain}, as your mail provider shows it: v=spf1 ... ~all")
    if not _has_dkim(domain):
        cause = f"{domain} has no DKIM key, which proves that an email is genuine."
        yield recommendation(cause, "Turn on DKIM at your mail provider, and add the record that it shows.")
    parents = [".".join(labels[number:]) for number in range(len(labels) - 1)]
    if not any(_starting("v=dmarc1", f"_dmarc.{parent}") for parent in parents):
        cause = f"{domain} has no DMARC record, which says what receivers do with forged emails."
        yield recommendation(cause, f"Add a TXT record to _dmarc.{domain}, to begin with: v=DMARC1; p=none")


def _has_dkim(domain: str) -> bool:
    """Return whether any name exists below _domainkey (RFC 8020), or a usual one, in case the server is older."""
    names = [f"_domainkey.{domain}", *(f"{selector}._domainkey.{domain}" for selector in SELECTORS)]
    return any(_records(name) is not None for name in names)


def _starting(start: str, name: str) -> list[str]:
    return [record for record in _records(name) or [] if record.lower().startswith(start)]


def _records(name: str) -> list[str] | None:
    """Return the TXT records of a name, or None if it does not exist. Raises Skipped if DNS does not answer."""
    import dns.exception  # importing it takes 50 ms
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=TIMEOUT)
    except dns.resolver.NXDOMAIN:
        return None
    except dns.resolver.NoAnswer:
        return []
    except dns.exception.DNSException as error:
        raise Skipped(f"DNS does not answer: {type(error).__name__}") from error
    return [b"".join(record.strings).decode(errors="replace") for record in answer]
