"""`flask users stats`: the numbers of the administration pages."""

import click

from app.accounts import statistics
from app.accounts.statistics import RANGES, Range
from app.cli.commands import echo_row, json_option
from app.cli.users import users


@users.command()
@click.option("--range", "span", type=click.Choice([*RANGES]), default=Range.MONTH.value, show_default=True)
@json_option
def stats(span: str, as_json: bool) -> None:
    """Print sign-ups, logins and emails of each hour (24h), day (30d) or month (12m), in UTC."""
    report = statistics.report(RANGES[span])
    layout = "  ".join(["{start:20}", *(f"{{{name}:>13}}" for name in report.counts)])
    if not as_json:
        echo_row(layout, False, start="", **{name.value: str(name.label) for name in report.counts})
    for number, start in enumerate(report.starts):
        counts = {name.value: values[number] for name, values in report.counts.items()}
        echo_row(layout, as_json, start=start, **counts)
