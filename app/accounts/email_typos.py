"""Email typos: mistyped domains of well-known email providers."""

from difflib import get_close_matches

PROVIDERS = "fastmail gmail googlemail hotmail icloud outlook protonmail yahoo".split()
SIMILAR_DOMAINS = "email hushmail mail mailo rocketmail tutamail ymail zmail".split()  # existing domains, not typos
TYPOS_OF_COM = "cim cm cmo co comm con coom cpm ocm om vom xom".split()


def suggest(email: str) -> str | None:
    """Return the email address that the user probably meant; None if the domain does not look mistyped."""
    local, _, domain = email.rpartition("@")
    name, _, ending = domain.lower().partition(".")
    likely = [name] if name in SIMILAR_DOMAINS else get_close_matches(name, PROVIDERS, n=1, cutoff=0.8)
    meant = f"{likely[0]}.{'com' if ending in TYPOS_OF_COM else ending}" if likely else domain.lower()
    return f"{local}@{meant}" if meant != domain.lower() else None
