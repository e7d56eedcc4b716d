"""The languages of pages and emails: what Flask-Babel is bound to, for every layer.

English sentences are the message ids, so English needs no catalog. `app/translations/` has the catalogs of this
application, `app/garden/translations/` those of a package of yours, and `translations/` beside `app/` your own words
for our sentences (docs/translating.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path

from babel import Locale
from babel.support import NullTranslations, Translations
from flask import Flask, current_app, has_app_context
from flask_babel import Babel, Domain, force_locale, get_babel, get_locale, get_timezone

from app import time_zones
from settings.languages import SOURCE, catalog

_zone: ContextVar[tzinfo | None] = ContextVar("zone", default=None)  # of the recipient of an email

ENGLISH = Locale(SOURCE)
ISOLATES = "\u2068\u2069"  # around text whose direction is its own; not in subjects


class _Catalogs(Domain):
    """Merges the catalogs of a language, and takes its plural rule from the first one that names it.

    Flask-Babel takes the rule of the last folder, which is that of English where the folder lacks the language.
    """

    def get_translations(self) -> NullTranslations:
        language = get_locale()
        if language is None:  # there is no application context
            return NullTranslations()
        cache = self.get_translations_cache(None)
        if language not in cache:
            cache[language] = self._merged(language)
        return cache[language]

    def _merged(self, language: Locale) -> NullTranslations:
        merged = Translations()
        found = [Translations.load(folder, language) for folder in self.translation_directories]
        for one in found:
            if isinstance(one, Translations):
                merged.merge(one)
        rules = [one.plural for one in found if "plural-forms" in one.info()]
        merged.plural = rules[0] if rules else merged.plural
        return merged


@cache
def locale(language: str) -> Locale:
    """Return Babel's locale of a language tag (BCP 47), such as "pt-BR"."""
    return Locale.parse(language, sep="-")


def name(language: str) -> str:
    """Return the name of a language in itself, such as "Deutsch", with the capital that a list needs."""
    own = locale(language).get_display_name() or language
    return own[0].upper() + own[1:]


def current() -> str:
    """Return the tag of the language of this page or email."""
    return _tag(get_locale())


def direction(language: str = "") -> str:
    """Return "rtl" for a language that is written from right to left, else "ltr"."""
    return (locale(language) if language else get_locale()).text_direction


def isolated(text: str | None) -> str:
    """Return text that may be of another direction so that it keeps its order in a sentence from right to left."""
    return text.join(ISOLATES) if text and direction() == "rtl" else text or ""


def default() -> str:
    """Return the language for readers whose language is not known."""
    return str(current_app.config["LANGUAGES"][0])


def offered(language: str | None) -> str | None:
    """Return a language if it is one of LANGUAGES, else None."""
    return language if language in current_app.config["LANGUAGES"] else None


def has_catalog(language: str) -> bool:
    """Return whether texts have a translation: in English only if an owner wrote other sentences."""
    return _has_catalog(language, tuple(get_babel().translation_directories))


def reader_zone() -> tzinfo:
    """Return the time zone of the recipient of the email that is being rendered, or of the user; or else UTC."""
    return _zone.get() or (get_timezone() if has_app_context() else UTC)


@contextmanager
def speaking(language: str, time_zone: str | None = None) -> Iterator[None]:
    """Use a language, and a time zone by its IANA name, instead of those of the request; by default UTC."""
    with force_locale(locale(language)):
        outer = _zone.set(time_zones.find(time_zone) or UTC)
        try:
            yield
        finally:
            _zone.reset(outer)


def init_app(app: Flask, selector: Callable[[], Locale], zone_selector: Callable[[], tzinfo]) -> None:
    # Of a sentence that several have, the last one is used: ours, those of your packages, and your own.
    packages = sorted(f"{path.parent.name}/translations" for path in Path(app.root_path).glob("*/translations"))
    babel = Babel(configure_jinja=False)  # not shared by applications, since it keeps catalogs
    babel.domain_instance = _Catalogs()
    babel.init_app(
        app,
        SOURCE,
        default_translation_directories=";".join(["translations", *packages, "../translations"]),
        locale_selector=selector,
        timezone_selector=zone_selector,
    )


@cache
def _has_catalog(language: str, folders: tuple[str, ...]) -> bool:
    return any(catalog(language, Path(folder)).is_file() for folder in folders)


@cache
def _tag(locale: Locale) -> str:
    return str(locale).replace("_", "-")
