"""Rows for a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four are wide ones
_NUMBER = re.compile(r"-?[0-9.]+", re.ASCII)


def csv_row(cells: Iterable[str]) -> str:
    """One row of CSV. What a spreadsheet would run as a formula is made text."""
    out = io.StringIO()
    # Everything in quotes: where a semicolon parts cells, what follows one would be a cell of its own.
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(
        [f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell for cell in cells]
    )
    return out.getvalue()
