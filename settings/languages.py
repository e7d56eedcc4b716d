"""The languages that pages and emails can have: those with a catalog, and English."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from settings.environment import PROJECT

SOURCE = "en"  # the language of the message ids, which needs no catalog
CATALOGS = (PROJECT / "app" / "translations", PROJECT / "translations")  # ours, then yours


def catalog(language: str, folder: Path) -> Path:
    return folder / language.replace("-", "_") / "LC_MESSAGES" / "messages.mo"


def problems(settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings["LANGUAGES"]:
        yield "LANGUAGES is empty. Write at least one language, such as en."
    for language in settings["LANGUAGES"]:
        if language != SOURCE and not any(catalog(language, folder).is_file() for folder in CATALOGS):
            yield f"LANGUAGES has {language!r}, which has no catalog. docs/translating.md tells how to add a language."
