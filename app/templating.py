"""Templates, compiled once for each language, so that their texts cost nothing when a page is rendered."""

import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from babel.support import NullTranslations
from flask import templating
from flask_babel import get_domain
from jinja2 import Template, pass_environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from app import languages
from settings.languages import SOURCE

TRANS = ["block_begin", "name:trans", "block_end", "data", "block_begin", "name:endtrans", "block_end"]
CALL = ["name:_", "lparen", "string", "rparen"]


class ConstantTexts(Extension):
    """Translate `{% trans %}Log in{% endtrans %}` and `_("Log in")` when a template is compiled.

    Texts with variables and plurals are left to Jinja's i18n extension.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        texts, tokens, at = cast(Environment, self.environment).texts, list(stream), 0
        while at < len(tokens):
            if _matches(tokens[at : at + len(TRANS)], TRANS):
                text = re.sub(r"\s*\n\s*", " ", str(tokens[at + 3].value).strip())  # the policy ext.i18n.trimmed
                yield Token(tokens[at].lineno, "data", texts.gettext(text))
                at += len(TRANS)
            elif _matches(tokens[at : at + len(CALL)], CALL):
                yield Token(tokens[at].lineno, "string", texts.gettext(str(tokens[at + 2].value)))
                at += len(CALL)
            else:
                yield tokens[at]
                at += 1


class Globals(ChainMap[str, Any]):
    """Jinja's map of a template's globals. Each import of macros compares its keys, and those of a dict are fast."""

    def keys(self) -> Any:
        own, shared = self.maps
        return {**shared, **own}.keys() if own else shared.keys()


class Environment(templating.Environment):
    """Flask's environment of templates, which has another environment, an overlay, for each language."""

    # Of an overlay
    language: str
    direction: str
    texts: NullTranslations

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self.by_language: dict[str, Environment] = {}
        self.policies["ext.i18n.trimmed"] = True
        self.add_extension("jinja2.ext.i18n")
        self.add_extension(ConstantTexts)
        functions = {kind: _text_function(kind) for kind in ("gettext", "ngettext", "pgettext", "npgettext")}
        self.globals.update(functions, _=functions["gettext"])
        self.globals.update(language=_language, direction=_direction)

    def make_globals(self, d: Any) -> Globals:
        return Globals(d or {}, self.globals)

    def get_template(self, name: str | Template, parent: str | None = None, globals: Any = None) -> Template:
        if self.overlayed:
            return super().get_template(name, parent, globals)
        return self.of_reader().get_template(name, parent, globals)

    def select_template(
        self, names: Iterable[str | Template], parent: str | None = None, globals: Any = None
    ) -> Template:
        if self.overlayed:
            return super().select_template(names, parent, globals)
        return self.of_reader().select_template(names, parent, globals)

    def from_string(self, source: Any, globals: Any = None, template_class: type[Template] | None = None) -> Template:
        if self.overlayed:
            return super().from_string(source, globals, template_class)
        return self.of_reader().from_string(source, globals, template_class)

    def of_reader(self) -> "Environment":
        """Return the environment of the language of this page or email."""
        language = languages.current()
        if language not in self.by_language:
            bytecode_cache = self.bytecode_cache if language == SOURCE else None  # it would hold English texts
            overlay = self.overlay(bytecode_cache=bytecode_cache)
            overlay.language, overlay.direction = language, languages.direction()
            overlay.texts = get_domain().get_translations()
            self.by_language[language] = overlay
        found = self.by_language[language]
        found.loader, found.auto_reload = self.loader, self.auto_reload  # as they are by now
        return found


@pass_environment
def _language(environment: Environment) -> str:
    return environment.language


@pass_environment
def _direction(environment: Environment) -> str:
    return environment.direction


def _text_function(kind: str) -> Callable[..., str]:
    """Return a function of templates for texts with variables, or in several numbers."""

    @pass_environment
    def text(environment: Environment, *messages: Any, **variables: Any) -> str:
        found = str(getattr(environment.texts, kind)(*messages))
        return found % variables if variables else found

    return text


def _matches(tokens: list[Token], pattern: list[str]) -> bool:
    return len(tokens) == len(pattern) and all(map(Token.test, tokens, pattern))
