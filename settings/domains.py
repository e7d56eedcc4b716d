"""Parse settings with domains of email addresses, and the sender's address."""

import re
from contextlib import suppress
from ipaddress import ip_address

import idna

from settings.environment import Environment, split

DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])")
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
MAX_DOMAIN = 254  # characters

# Senders that email-validator accepts as they are. Its import, which compiles its rules, takes 30 ms of a start.
_WORDS = r"[a-zA-Z0-9]+(?: [a-zA-Z0-9]+)*"
_LOCAL_PART = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
_DOMAIN = r"(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+(?!(?:arpa|invalid|local|localhost|onion|test)\b)[a-z]{2,}"
ORDINARY = re.compile(rf"(?:({_WORDS}) <)?({_LOCAL_PART}@{_DOMAIN})(?(1)>)")
MAX_ORDINARY = 64  # characters

LOCAL_DOMAINS = ("local", "localhost")  # a mail server at home may accept a sender there


def special_domains(env: Environment) -> tuple[str, ...]:
    """Read EMAIL_SPECIAL_DOMAINS. `.local`, `local` and `*.local` all include the domain and its subdomains."""
    domains = []
    for word in split(env("EMAIL_SPECIAL_DOMAINS", "")):
        plain = word.removeprefix("@").removeprefix("*").removeprefix(".").removesuffix(".")
        domains.append(_in_ascii(plain))
        if not re.fullmatch(LABEL + rf"(\.{LABEL})*", domains[-1]):
            advice = "write domains such as .local, home.arpa or intranet."
            env.problems.append(f"EMAIL_SPECIAL_DOMAINS has {word!r}: {advice}")
    return tuple(domains)


def email_domains(env: Environment, name: str, default: str, special: tuple[str, ...]) -> tuple[str, ...]:
    """Read a list of domains of email addresses, and return them without @, in lowercase ASCII."""
    domains = []
    for word in split(env(name, default)):
        domains.append(_in_ascii(word.removeprefix("@").removesuffix(".")))
        if not DOMAIN.fullmatch(domains[-1]) and not is_below(domains[-1], special):
            env.problems.append(f"{name} has {word!r}: write domains of email addresses, such as example.org.")
    return tuple(domains)


def is_below(domain: str, domains: tuple[str, ...]) -> bool:
    """Return whether a domain is one of `domains`, which are in ASCII, or a subdomain of one of them."""
    in_ascii = domain.lower() if domain.isascii() else _in_ascii(domain)
    return any(in_ascii == known or in_ascii.endswith(f".{known}") for known in domains)


def _in_ascii(text: str) -> str:
    """Return a domain in lowercase ASCII, or "" if the text is not a domain."""
    with suppress(idna.IDNAError):
        return idna.encode(text, uts46=True).decode().lower() if len(text) < MAX_DOMAIN else ""
    return ""


def parse_sender(text: str, special: tuple[str, ...] = ()) -> tuple[str, str]:
    """Parse MAIL_SENDER, an address or `Name <address>`, into the name, which may be empty, and the address.

    Args:
        special: the domains in EMAIL_SPECIAL_DOMAINS.

    Raises:
        ValueError: a mail server would refuse the address.
    """
    text, suffix = with_public_domain(text, LOCAL_DOMAINS + special)
    if len(text) <= MAX_ORDINARY and (ordinary := ORDINARY.fullmatch(text)):
        return ordinary[1] or "", ordinary[2].removesuffix(suffix)
    name, bracket, address = text.rpartition("<")
    if bracket and re.fullmatch(r'[^"<>@:;\\]+', name):
        text = f'"{name.strip()}" <{address}'
    from email_validator import validate_email

    parsed = validate_email(
        text,
        allow_display_name=True,
        allow_domain_literal=True,
        allow_smtputf8=False,
        check_deliverability=False,
        globally_deliverable=False,
        strict=True,
    )
    if "=?" in parsed.local_part:
        raise ValueError("The part before the @ can't hold an encoded word.")
    ascii_address = parsed.ascii_email or parsed.normalized
    return parsed.display_name or "", ascii_address.removesuffix(suffix)


def with_public_domain(address: str, special: tuple[str, ...]) -> tuple[str, str]:
    """Append a suffix to a special domain, so that email-validator accepts it; return the address and the suffix.

    email-validator's own list of special domains is global to the process, but a setting belongs to one application.

    Args:
        address: an address, or a text that ends with an address in angle brackets.
        special: domains to accept with their subdomains, although they are not on the public Internet.
    """
    head, _, rest = address.rpartition("@")
    domain = rest.rstrip("> ")
    if head and is_below(domain, special):
        suffix = ".example.com"
        return f"{head}@{domain}{suffix}{rest[len(domain) :]}", suffix
    return address, ""


def domain_of_host(host: str) -> str:
    """Return the domain of an email address at `host`: IP addresses get brackets (RFC 5321, section 4.1.3)."""
    with suppress(ValueError):
        return f"[{'IPv6:' if ip_address(host).version == 6 else ''}{host}]"
    return host
