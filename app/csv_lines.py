"""Lines of CSV for spreadsheets."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

# A spreadsheet computes a cell that starts so (OWASP, CSV Injection); in some languages, `;` separates cells, too.
FORMULA = re.compile(r"(^|;)(?=[=+\-@\t\r])")


def csv_lines(names: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a line of names, then a line per row. A text that a spreadsheet would take for a formula gets a `'`."""
    line = io.StringIO()
    for row in chain([names], rows):
        csv.writer(line).writerow([_plain(value) for value in row])
        yield line.getvalue()
        line.seek(line.truncate(0))


def _plain(value: object) -> object:
    return FORMULA.sub(r"\1'", value) if isinstance(value, str) else value
