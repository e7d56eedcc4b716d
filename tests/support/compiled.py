"""Compile each template once for all the applications that the tests make, unless what it fills in differs."""

import re
from pathlib import Path

from flask.templating import DispatchingJinjaLoader
from flask_babel import get_babel

from app import switches, templating

APP = Path(templating.__file__).parent
SOURCES = [*APP.glob("templates/**/*.*"), Path(switches.__file__)]
USED = {
    name
    for path in SOURCES
    for name in re.findall(r'config\.([A-Z_]+)|settings\["([A-Z_]+)"\]', path.read_text("utf-8"))
}
SETTINGS = sorted({*map("".join, USED), "PUBLIC_URL", "BRAND", "FULL_BOOTSTRAP", "LANGUAGES"})

code = {}
compile_anew = templating.Environment.compile


def compile_once(environment, source, *args, **options):
    is_usual = isinstance(environment.loader, DispatchingJinjaLoader) and not environment.auto_reload
    if not (is_usual and environment.overlayed and isinstance(source, str)) or options:
        return compile_anew(environment, source, *args, **options)
    key = (source, *args, filled_in(environment))
    if len(code) > 2_000:
        code.clear()
    if key not in code:
        code[key] = compile_anew(environment, source, *args)
    return code[key]


def filled_in(environment):
    """What the code of a template may hold of its application."""
    app = environment.app
    settings = tuple(repr(app.config.get(name)) for name in SETTINGS)
    routes = (frozenset(app.view_functions), bool(app.url_default_functions))
    texts = (environment.language, tuple(get_babel().translation_directories))
    return settings, routes, texts, app.root_path, app.static_folder, app.debug, templating.Fold
