"""The application factory: create_app() lists the steps from top to bottom."""

import os
from collections.abc import Callable
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any

from flask import Flask

import config
from app import admin, auth, cli, connections, extensions, main, switches, templating
from app.accounts import cleanup
from app.email.worker import Delivery
from app.security.rate_limits import counters
from app.web import (
    appearance,
    csrf,
    errors,
    headers,
    hosts,
    language,
    request_log,
    request_size,
    site_files,
    stale_forms,
    static_assets,
)
from settings.derived import complete
from settings.environment import ConfigError

__version__ = "0.1.0"  # of Flasky, also in a clone; your own version can have another name


class Application(Flask):
    """Flask with this application's templates."""

    jinja_environment = templating.Environment

    def __init__(self, name: str) -> None:
        self.is_async = lru_cache(1024)(iscoroutinefunction)
        super().__init__(name)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is not async at once. Flask asks this of each hook and view of each request."""
        try:
            return super().ensure_sync(func) if self.is_async(func) else func
        except TypeError:  # it can't be cached
            return super().ensure_sync(func)


def create_app(config_name: str | None = None, **overrides: Any) -> Flask:
    """Create the application.

    Args:
        config_name: a key of config.configurations; the default is FLASK_CONFIG, or else production.
        overrides: settings that take precedence.

    Raises:
        ConfigError: the message names each invalid setting and its remedy.
    """
    app = Application(__name__)
    configure(app, config_name or os.environ.get("FLASK_CONFIG") or "production", overrides)
    request_log.init_app(app)
    warn_of_mistyped_settings(app)
    hosts.init_app(app)
    request_size.init_app(app)  # before anything reads the request
    csrf.init_app(app)
    stale_forms.init_app(app)
    bind_extensions(app)
    register_blueprints(app)
    errors.init_app(app)
    static_assets.init_app(app)
    site_files.init_app(app)
    appearance.init_app(app)
    language.init_app(app)
    headers.init_app(app)
    cli.init_app(app)
    deliver_emails(app)
    return app


def configure(app: Flask, name: str, overrides: dict[str, Any]) -> None:
    if name not in config.configurations:
        raise ConfigError(f"FLASK_CONFIG is {name!r}: write one of {', '.join(config.configurations)}.")
    chosen = config.configurations[name]
    app.config.from_object(chosen)
    app.config.update(overrides, CONFIG_NAME=name, VERSION=__version__)
    if problems := chosen.problems(app.config):
        heading = f"The {name} configuration can't start:"
        raise ConfigError("\n".join([heading, *problems, *chosen.mistyped()]))
    complete(app.config, app.instance_path)


def warn_of_mistyped_settings(app: Flask) -> None:
    for sentence in config.configurations[app.config["CONFIG_NAME"]].mistyped():
        app.logger.warning(sentence)


def bind_extensions(app: Flask) -> None:
    extensions.db.init_app(app)
    app.teardown_appcontext(connections.close_session)  # runs before Flask-SQLAlchemy's, which was registered first
    counters.init_app(app)
    extensions.login_manager.init_app(app)
    extensions.mail.init_app(app)


def register_blueprints(app: Flask) -> None:
    if app.config.get("MAILBOX"):
        from app import dev

        dev.guard(app)  # before auth, which redirects some users from every page
        app.register_blueprint(dev.bp)
        app.cli.add_command(dev.serve)
        dev.keep_emails(app)
        dev.explain_refusals(app)
        if app.config["MOCK_PROVIDER"]:
            dev.register_mock_provider(app)
    app.jinja_env.globals["is_on"] = switches.is_on
    templating.fill_in(app, "is_on")
    app.register_blueprint(main.bp)
    app.register_blueprint(auth.bp, url_prefix="/auth")
    app.register_blueprint(admin.bp)


def deliver_emails(app: Flask) -> None:
    delivery = app.extensions["delivery"] = Delivery(app, cleanup=cleanup.run_due)
    if app.config["MAIL_DELIVERY"] == "thread":
        app.before_request(delivery.start)
