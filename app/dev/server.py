# mypy: ignore-errors
"""`flask dev`: everything that a developer needs to begin, in one command."""

import logging
import socket

import click
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from werkzeug.debug import DebuggedApplication
from werkzeug.serving import WSGIRequestHandler, is_running_from_reloader, run_simple
from werkzeug.wrappers import Request

from app.dev import access


class GuardedDebugger:
    """WSGI middleware: Werkzeug's debugger for the developer's browser (access.py).

    Everybody else gets the plain application: an error is written to the terminal and answered with a bare 500.
    """

    def __init__(self, app):
        self.app, self.debugger = app, DebuggedApplication(app, evalex=True)

    def __call__(self, environ, start_response):
        is_developer = access.is_developer(self.app, Request(environ))
        return (self.debugger if is_developer else self.app)(environ, start_response)


class Quiet(WSGIRequestHandler):
    """Writes no line for a request: the application's own log has one, without tokens."""

    def log_request(self, *_):
        """See the class."""


@click.command("dev")
@with_appcontext
def serve():
    """Bring the database up to date, then serve at http://localhost:5000 (PORT) with a mailbox for the emails."""
    app, port = current_app._get_current_object(), current_app.config["PORT"]
    if is_running_from_reloader():
        app.extensions["delivery"].start()
    else:
        _refuse_if_taken(port)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        upgrade()
        logging.getLogger("werkzeug").addFilter(lambda record: "development server" not in record.getMessage())
        home, mailbox = access.link("/"), access.link("/dev/mailbox")
        click.echo(f"\n  {app.config['APP_NAME']}   {home}\n  Mailbox  {mailbox}\n\n  Ctrl-C stops it.\n")
    app.debug = True
    run_simple("localhost", port, GuardedDebugger(app), use_reloader=True, threaded=True, request_handler=Quiet)


def _refuse_if_taken(port):
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return
    raise click.ClickException(f"Port {port} is taken by another program. Choose another one: PORT={port + 1} make run")
