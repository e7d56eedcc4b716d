"""Find environment variables that look like mistyped settings."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache

# Other programs, tutorials and earlier releases use these names.
ALSO_CALLED = {
    "FLASK_ENV": "FLASK_CONFIG",
    "HIDE_ACCOUNTS": "PREVENT_ENUMERATION",
    "MAIL_DEFAULT_SENDER": "MAIL_SENDER",
    "MAIL_FROM": "MAIL_SENDER",
    "MAIL_HOST": "MAIL_SERVER",
    "MAIL_SSL": "MAIL_USE_SSL",
    "MAIL_STARTTLS": "MAIL_USE_TLS",
    "MAIL_TLS": "MAIL_USE_TLS",
    "MAIL_USER": "MAIL_USERNAME",
    "RECAPTCHA_ALWAYS": "CAPTCHA_ALWAYS",
    "RECAPTCHA_SECRET_KEY": "RECAPTCHA_PRIVATE_KEY",
    "RECAPTCHA_SITE_KEY": "RECAPTCHA_PUBLIC_KEY",
    "SECOND_FACTOR_FOR": "TWO_FACTOR_REQUIRED_FOR",
    "SMTP_SERVER": "MAIL_SERVER",
    "SQLALCHEMY_DATABASE_URI": "DATABASE_URL",
}
OTHERS = {"LANGUAGE", "PORTS", "USERNAME"}  # names of other programs that resemble a setting
# Similarities for get_close_matches(): about two typing errors in twelve, seven and five characters.
ALIKE, ALIKE_PROVIDER, ALIKE_WORD = 0.85, 0.7, 0.6

# The settings of a provider, without OIDC_<NAME>_. A test compares them with those that providers.py reads.
PROVIDER_PARTS = set(
    "AUDIENCES CLIENT_ID CLIENT_SECRET CLIENT_SECRET_KEY_FILE CLIENT_SECRET_KEY_ID CLIENT_SECRET_TEAM_ID DOMAINS ISSUER"
    " LABEL RESPONSE_MODE SCOPE TENANTS TOKEN_AUTH TWO_FACTOR".split()
)


def warnings(
    present: Iterable[str], settings: Collection[str], providers: Collection[str], well_known: Collection[str]
) -> list[str]:
    """Return a sentence for each variable in the environment that looks like a mistyped setting.

    Args:
        present: the names of all variables in the environment.
        settings: the names of all settings.
        providers: the names in OIDC_PROVIDERS.
        well_known: the names of providers with built-in settings.
    """
    found, known = [], frozenset(settings)
    for name in sorted({*present} - known):
        likely = _likely(name, known) or _likely_of_provider(name, providers, well_known)
        if likely and likely != name:
            found.append(f"{name} is not a setting and is ignored. Did you mean {likely}?")
        elif likely:
            found.append(f"{name} is ignored, because OIDC_PROVIDERS does not name its provider. Add it there.")
    return found


@lru_cache(1000)
def _likely(name: str, settings: frozenset[str]) -> str | None:
    upper = name.upper()
    if upper in OTHERS:
        return None
    if upper in ALSO_CALLED:
        return ALSO_CALLED[upper]
    singular, letters = _singular(upper), sorted(upper)
    for setting in sorted(settings):
        if singular == _singular(setting) or letters == sorted(setting):
            return setting
    near = get_close_matches(upper, settings, 3, ALIKE)
    return next((setting for setting in near if _are_words_alike(upper, setting)), None)


def _singular(name: str) -> str:
    """Return a name without underscores and plurals, so that TRUSTED_PROXY equals TRUSTED_PROXIES."""
    words = [f"{word[:-3]}Y" if word.endswith("IES") else word.removesuffix("S") for word in name.split("_")]
    return "".join(words)


def _are_words_alike(name: str, setting: str) -> bool:
    """Return whether each word may be a typing error of the other: DATABASE_URI of DATABASE_URL, but not _USER."""
    words, others = name.split("_"), setting.split("_")
    pairs = zip(words, others, strict=True) if len(words) == len(others) else ()
    return all(get_close_matches(word, [other], 1, ALIKE_WORD) for word, other in pairs)


def _likely_of_provider(name: str, providers: Collection[str], well_known: Collection[str]) -> str | None:
    """Return the likely setting of a provider, or `name` itself if OIDC_PROVIDERS lacks its provider."""
    for provider, part in _splits(name):
        parts = [part] if part in PROVIDER_PARTS else get_close_matches(part, PROVIDER_PARTS, 1, ALIKE)
        if parts:
            known = {*providers, *well_known}
            near = [] if provider in known else get_close_matches(provider, sorted(known), 1, ALIKE_PROVIDER)
            return f"OIDC_{(near or [provider])[0].upper()}_{parts[0]}"
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read OIDC_A_B_C: the provider `a` with the part `B_C`, or `a_b` with `C`."""
    prefix, *words = name.upper().split("_")
    if prefix == "OIDC":
        yield from (("_".join(words[:at]).lower(), "_".join(words[at:])) for at in range(1, len(words)))
