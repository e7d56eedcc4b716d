"""The application that the tests of a process share, as if each had a new one."""

import copy
from collections import defaultdict
from datetime import timedelta

from blinker import NamedSignal
from flask_mail import email_dispatched
from sqlalchemy.events import ConnectionEvents, PoolEvents

from app import deliver_emails, extensions, signals
from app.cli import migrations
from app.extensions import db
from app.security.rate_limits import counters

SIGNALS = [email_dispatched, *(one for one in vars(signals).values() if isinstance(one, NamedSignal))]
EVENTS = {name for kind in (ConnectionEvents, PoolEvents) for name in vars(kind) if not name.startswith("_")}

# The application reads these settings at each request, all others when it is made.
READ_AT_REQUESTS = set(
    """
    CAPTCHA CAPTCHA_ALWAYS OIDC_PROVIDERS PASSWORD_HASH PASSWORD_MIN_LENGTH PREVENT_ENUMERATION
    PWNED_PASSWORDS_URL RATELIMIT_ENABLED
    RECAPTCHA_PRIVATE_KEY RECAPTCHA_PUBLIC_KEY RECAPTCHA_SCRIPT RECAPTCHA_VERIFY_SERVER RECOVERY_CODE_HASH
    REGISTRATION_OPEN TWO_FACTOR_REQUIRED_FOR VERIFY_NEW_DEVICES WTF_CSRF_ENABLED
    """.split()
)

# Of the environment of templates: what it has compiled, which it forgets itself when a setting changes
COMPILED = {"by_language", "settings"}

PLAIN = (str, bytes, int, float, bool, timedelta, type(None))
KEPT = 12  # applications


class SharedApps:
    """The applications of a process: one for each database and each choice of the settings of the start.

    Args:
        create: makes an application on a database, which a URL names, with settings.
        prepare: is called with each one that was made.
        folder: holds the database files of all of them.
    """

    def __init__(self, create, prepare, folder):
        self.create, self.prepare, self.folder, self.apps = create, prepare, folder, {}

    def fresh(self, database, settings):
        """Return an application with these settings, as new, on an empty database.

        Args:
            settings: either some of READ_AT_REQUESTS, or what are_plain() approves of.
        """
        url, start = database.make(self.folder), {} if settings.keys() <= READ_AT_REQUESTS else settings
        key = database, repr(sorted(start.items()))
        shared = self.apps.pop(key, None) or SharedApp(lambda: self.create(url, start), self.prepare)
        self.apps[key] = shared  # the last one is the one used last
        if len(self.apps) > KEPT:
            del self.apps[next(iter(self.apps))]
        return shared.fresh(settings)


def are_shared(settings):
    """Return whether tests with these settings may share an application."""
    has_threads = settings.get("MAIL_DELIVERY") == "thread"  # each application has a hook that starts its own
    return settings.keys() <= READ_AT_REQUESTS or (are_plain(settings) and not has_threads)


def are_plain(value):
    """Return whether settings equal their copy and are known by their text, unlike an object with a life of its own."""
    if type(value) is dict:
        return all(map(are_plain, value.values()))
    return all(map(are_plain, value)) if type(value) in (list, tuple, set) else type(value) in PLAIN


class SharedApp:
    """An application that is handed to one test after another, and made again after a test that changed it.

    It has answered a request, so that Flask refuses what would have to precede the first: routes, hooks, blueprints.

    Args:
        create: makes the application.
        prepare: is called with each one that was made.
    """

    def __init__(self, create, prepare):
        self.create, self.prepare, self.app = create, prepare, None

    def fresh(self, settings):
        """Return the application in the state of a new one, on whatever its database holds by now.

        Args:
            settings: some of READ_AT_REQUESTS, or those that it was made with.
        """
        if self.app is None or state(self.app) != self.state:
            self._make()
        self.app.config.clear()
        self.app.config.update(copy.deepcopy(self.config) | settings)
        self.app.extensions.clear()
        self.app.extensions.update({name: copied(value) for name, value in self.extensions.items()})
        extensions.mail.init_app(self.app)
        migrations.init_app(self.app)
        counters.init_app(self.app)
        deliver_emails(self.app)
        return self.app

    def _make(self):
        self.app = self.create()
        self.prepare(self.app)
        self.config = copy.deepcopy(dict(self.app.config))
        assert self.app.logger  # an attribute from the first use on
        self.extensions = {name: copied(value) for name, value in self.app.extensions.items()}
        with self.app.app_context():
            self.app.test_client(use_cookies=False).get("/auth/login")
        self.state = state(self.app)


def state(app):
    """What a test could change about an application other than its settings and extensions."""
    with app.app_context():
        engines = dict(db.engines)
    return {
        "app": [(name, copied(value)) for name, value in vars(app).items() if name not in {"config", "extensions"}],
        "routes": list(app.url_map.iter_rules()),
        "templates": {name: copied(value) for name, value in vars(app.jinja_env).items() if name not in COMPILED},
        "middleware": [copied(vars(layer)) for layer in layers(app.wsgi_app)],
        "receivers": [list(signal.receivers_for(app)) for signal in SIGNALS],
        "listeners": [
            (bind, name, list(getattr(owner.dispatch, name)))
            for bind, engine in engines.items()
            for owner in (engine, engine.pool)
            for name in sorted(EVENTS)
            if hasattr(owner.dispatch, name)
        ],
    }


def layers(middleware):
    """Yield a middleware of ours, and those that it wraps."""
    while middleware:
        yield middleware
        middleware = vars(middleware).get("wsgi_app")


def copied(value):
    """Copy a dictionary, list or set with those that it contains, and no other object."""
    if type(value) is defaultdict:  # a look-up leaves an empty value
        return {key: one for key, kept in value.items() if (one := copied(kept))}
    if type(value) is dict:
        return {key: copied(one) for key, one in value.items()}
    if type(value) is list:
        return [copied(one) for one in value]
    return set(value) if type(value) is set else value
