"""Compile each template of ours once for all applications that the tests make, unless what it fills in differs."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from flask.templating import DispatchingJinjaLoader
from flask_babel import get_babel

from app import switches, templating

TEMPLATES = Path(templating.__file__).parent / "templates"
# What asset_url() reads; of PUBLIC_URL, it and url_for() read the path alone
USED = {"BRAND", "FULL_BOOTSTRAP", "LANGUAGES", "passkey"}

code = {}
compile_anew = templating.Environment.compile


def compile_once(environment, source, name=None, filename=None, **options):
    is_page = isinstance(source, str) and filename == str(TEMPLATES / str(name))
    if options or not is_page or not is_usual(environment):
        return compile_anew(environment, source, name, filename, **options)
    key = source, name, filled_in(environment, name)
    if len(code) > 2_000:
        code.clear()
    if key not in code:
        code[key] = compile_anew(environment, source, name, filename)
    return code[key]


def is_usual(environment):
    """Return whether a template and those that it includes are our files."""
    is_overlay = environment.overlayed and not environment.auto_reload
    folders = getattr(environment.app.jinja_loader, "searchpath", None)
    return is_overlay and isinstance(environment.loader, DispatchingJinjaLoader) and folders == [str(TEMPLATES)]


def filled_in(environment, name):
    """What the code of a template may hold of its application."""
    app, words = environment.app, words_of(name)
    settings = tuple(_setting(app, word) for word in words if word.isupper())
    is_on = tuple(switches.is_on(word, app) for word in words if word in switches.SWITCHES)
    endpoints = [word for word in words if word in app.view_functions]
    paths = tuple((endpoint, *map(str, app.url_map.iter_rules(endpoint))) for endpoint in endpoints)
    functions = tuple((known, environment.globals[known]) for known in sorted(environment.constant))
    texts = environment.language, tuple(get_babel().translation_directories)
    others = bool(app.url_default_functions), app.static_folder, app.debug, templating.Fold
    return settings, is_on, paths, urlsplit(app.config["PUBLIC_URL"]).path, functions, texts, others


def _setting(app, name):
    value = app.config.get(name)
    return bool(value) if name == "OIDC_PROVIDERS" else repr(value)  # code can't hold a provider


@cache
def words_of(name):
    """Return the words of a template and of those that it includes or imports: they name settings and endpoints."""
    words, names = set(USED), [name]
    for one in names:
        text = re.sub(r"{%-? extends .*?%}", "", (TEMPLATES / one).read_text("utf-8"))
        found = {*re.findall(r"\w+", text), *re.findall(r"[\w./-]+", text)} - words
        words |= found
        names += [word for word in found if "." in word and (TEMPLATES / word).is_file()]
    return sorted(words | {"PUBLIC_URL"} if "public_asset_url" in words else words)
