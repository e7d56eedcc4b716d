# mypy: ignore-errors
"""`flask test`: the suite."""

import subprocess
import sys

import click


@click.command("test", context_settings={"ignore_unknown_options": True})
@click.option("--coverage", is_flag=True, help="Say which lines the tests do not reach.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(coverage, arguments):
    """Run the tests; ARGUMENTS go to pytest. In a process of its own, so that coverage sees the application start."""
    measured = ("--cov=app", "--cov-branch", "--cov-report=term-missing:skip-covered") if coverage else ()
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *measured, *arguments]))
