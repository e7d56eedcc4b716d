"""Lines of CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that starts so (OWASP, CSV Injection)


def csv_lines(names: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a line of names, then a line per row. A text that a spreadsheet would take for a formula gets a `'`."""
    line = io.StringIO()
    for row in chain([names], rows):
        csv.writer(line).writerow([_plain(value) for value in row])
        yield line.getvalue()
        line.seek(line.truncate(0))


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
