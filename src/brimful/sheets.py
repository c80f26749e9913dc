"""Rows for a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable

__all__ = ["line"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"-?[0-9.]+", re.ASCII)


def line(cells: Iterable[str]) -> str:
    """One row of CSV. What a spreadsheet would run as a formula is made text."""
    out = io.StringIO()
    csv.writer(out).writerow(
        [f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell for cell in cells]
    )
    return out.getvalue()
