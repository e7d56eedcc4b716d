"""`flask dev`: everything that a developer needs to begin, in one command."""

import logging
import socket

import click
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from werkzeug.serving import WSGIRequestHandler, is_running_from_reloader, run_simple


class Quiet(WSGIRequestHandler):
    """Writes no line for a request: the application's own log has one, without tokens."""

    def log_request(self, *_):
        """See the class."""


@click.command("dev")
@with_appcontext
def serve():
    """Bring the database up to date, then serve at http://localhost:5000 (PORT) with a mailbox for the letters."""
    app, port = current_app._get_current_object(), current_app.config["PORT"]
    if is_running_from_reloader():
        app.extensions["delivery"].start()
    else:
        _refuse_if_taken(port)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        upgrade()
        logging.getLogger("werkzeug").addFilter(lambda record: "development server" not in record.getMessage())
        url = app.config["PUBLIC_URL"]
        click.echo(f"\n  {app.config['APP_NAME']}   {url}\n  Mailbox  {url}/dev/mailbox\n\n  Ctrl-C stops it.\n")
    app.debug = True
    run_simple("localhost", port, app, use_reloader=True, use_debugger=True, threaded=True, request_handler=Quiet)


def _refuse_if_taken(port):
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return
    raise click.ClickException(f"Port {port} is taken by another program. Choose another one: PORT={port + 1} make run")
