"""`flask dev`: migrate the database, and serve with a mailbox, a debugger and a reloader."""

import logging
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.debug import DebuggedApplication
from werkzeug.serving import WSGIRequestHandler, is_running_from_reloader, run_simple
from werkzeug.wrappers import Request

from app.dev import access
from app.doctor import database_errors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class GuardedDebugger:
    """WSGI middleware that offers Werkzeug's debugger only to browsers that opened the link in the terminal.

    For other browsers an error is logged and answered with status 500.
    """

    def __init__(self, app: Flask) -> None:
        self.app, self.debugger = app, DebuggedApplication(app, evalex=True)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        is_developer = access.is_developer(self.app, Request(environ))
        return (self.debugger if is_developer else self.app)(environ, start_response)


class QuietHandler(WSGIRequestHandler):
    """Leaves the log of requests to the application, which masks tokens."""

    def log_request(self, *_: Any) -> None:
        pass


@click.command("dev")
@with_appcontext
def serve() -> None:
    """Migrate the database, then serve at http://localhost:5000 (PORT) with a mailbox for the emails."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    port = app.config["PORT"]
    if is_running_from_reloader():
        app.extensions["delivery"].start()
    else:
        _refuse_if_taken(port)
        from flask_migrate import upgrade

        logging.getLogger("alembic").setLevel(logging.WARNING)
        try:
            upgrade()
        except SQLAlchemyError as error:
            raise click.ClickException(str(database_errors.explain(error))) from error
        logging.getLogger("werkzeug").addFilter(lambda record: "development server" not in record.getMessage())
        home, mailbox = access.link("/"), access.link("/dev/mailbox")
        click.echo(f"\n  {app.config['APP_NAME']}   {home}\n  Mailbox  {mailbox}\n\n  Ctrl-C stops it.\n")
    app.debug = True
    run_simple("localhost", port, GuardedDebugger(app), use_reloader=True, threaded=True, request_handler=QuietHandler)


def _refuse_if_taken(port: int) -> None:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return
    raise click.ClickException(f"Another program uses port {port}. Choose another one: PORT={port + 1} make run")
