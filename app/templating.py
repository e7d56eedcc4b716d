"""Templates, compiled once for each language, so that their texts cost nothing when a page is rendered."""

from collections import ChainMap
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

from babel.support import NullTranslations
from flask import templating
from flask_babel import get_domain
from jinja2 import Template, pass_environment
from werkzeug.routing import BuildError

from app import languages
from app.folding import Fold, constant_macros


class Globals(ChainMap[str, Any]):
    """Jinja's map of a template's globals. Each import of macros compares its keys, and those of a dict are fast."""

    def keys(self) -> Any:
        own, shared = self.maps
        return {**shared, **own}.keys() if own else shared.keys()


class Environment(templating.Environment):
    """Flask's environment of templates, which has another environment, an overlay, for each language."""

    # The names of functions whose results depend only on their arguments, the settings and the language
    constant: set[str]
    # Of an overlay
    language: str
    direction: str
    texts: NullTranslations

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self.by_language: dict[str, Environment] = {}
        self.settings: dict[str, Any] = {}  # for which the templates were compiled
        self.constant = set()
        self.policies["ext.i18n.trimmed"] = True
        self.add_extension("jinja2.ext.i18n")
        functions = {kind: _text_function(kind) for kind in ("gettext", "ngettext", "pgettext", "npgettext")}
        self.globals.update(functions, _=functions["gettext"])
        self.globals.update(language=_language, direction=_direction)

    def compile(self, source: Any, *args: Any, **options: Any) -> Any:
        """Compile a template, with what is the same on every page of this language filled in."""
        if isinstance(source, str) and hasattr(self, "texts"):
            name = args[0] if args else options.get("name")
            source = Fold(self, self._constants(), lambda: self.macros, name).visit(self.parse(source, *args[:2]))
        return super().compile(source, *args, **options)

    @cached_property
    def macros(self) -> dict[str, Any]:
        return constant_macros(self, self._constants())

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
        if self.app.config != self.settings:  # as in a test
            self.by_language, self.settings = {}, dict(self.app.config)
        found = self.by_language.get(language)
        if found is None:
            found = self.overlay(bytecode_cache=None)  # it would not know the language and the settings
            found.language, found.direction = language, languages.direction()
            found.texts = get_domain().get_translations()
            self.by_language[language] = found
        found.loader, found.auto_reload = self.loader, self.auto_reload  # as they are by now
        return found

    def _constants(self) -> dict[str, Any]:
        functions = {name: self.globals[name] for name in self.constant if not (name == "asset_url" and self.app.debug)}
        texts = {"gettext": self._text, "_": self._text, "pgettext": self.texts.pgettext}
        values = {"config": self.app.config, "language": lambda: self.language, "direction": lambda: self.direction}
        urls = {"url_for": self._path} if self.globals["url_for"] == cast(Any, self.app).url_for else {}
        return functions | texts | values | urls

    def _text(self, message: str, **variables: Any) -> str:
        found = self.texts.gettext(message)
        return found % variables if variables else found

    def _path(self, endpoint: str, **values: Any) -> str | None:
        """Return the path of a page, or None if it depends on the request or on an application's own rules."""
        if endpoint.startswith(".") or any(name.startswith("_") for name in values) or self.app.url_default_functions:
            return None
        own = urlsplit(self.app.config["PUBLIC_URL"])
        try:
            path = self.app.url_map.bind(own.netloc, own.path, url_scheme=own.scheme).build(endpoint, values)
        except BuildError:
            return None
        return path if path.startswith(f"{own.path}/") else None


def fill_in(app: Any, *names: str) -> None:
    """Call these functions when a template is compiled, where their arguments are constant.

    Their results must depend on nothing but the arguments, the settings and the language.
    """
    cast(Environment, app.jinja_env).constant.update(names)


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
