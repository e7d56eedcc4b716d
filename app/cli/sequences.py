"""`flask fix-sequences` lets new rows have new ids, after rows were copied into PostgreSQL."""

import click
from flask.cli import with_appcontext

from app.cli.commands import for_administrators
from app.doctor.sequences import behind
from app.extensions import db


@click.command("fix-sequences")
@with_appcontext
@for_administrators
def fix_sequences() -> None:
    """Set the sequences of PostgreSQL to the highest ids, after rows were copied from another database."""
    for sequence in behind():
        sequence.advance()
        click.echo(f"The next row of {sequence.table} gets the id {sequence.highest + 1}.")
    db.session.commit()
