"""`flask test`: run the test suite."""

import subprocess
import sys

import click


@click.command("test", context_settings={"ignore_unknown_options": True})
@click.option("--coverage", is_flag=True, help="Show the lines that the tests do not reach.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(coverage: bool, arguments: tuple[str, ...]) -> None:
    """Run the tests in a separate process and pass ARGUMENTS to pytest."""
    measured = ("--cov=app", "--cov-branch", "--cov-report=term-missing:skip-covered") if coverage else ()
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *measured, *arguments]))
