"""Tags: what a debit was for, in the one form that budgets match and spending is summed up by. Pure.

A tag is a JSON array: `[]` for anything, `["key-1"]` for a subject, `["team", "research"]` for a value of a dimension.
"""

import json
import re
from collections.abc import Mapping, Sequence

from brimful.core import text
from brimful.core.errors import Refused

ALL = "[]"
SUBJECT_MAX = 128
DIMENSIONS_MAX = 8
KEY_MAX = 40
VALUE_MAX = 128
_PARTS_MAX = 2
_KEY = re.compile(r"\S(.*\S)?")


def of_subject(subject: str) -> str:
    """The tag of what was used for this subject."""
    return json.dumps([subject], ensure_ascii=False)


def of_dimension(key: str, value: str) -> str:
    """The tag of what was used with this value of a dimension."""
    return json.dumps([key, value], ensure_ascii=False)


def of(subject: str | None, dimensions: Mapping[str, str] | None) -> list[str]:
    """Every tag of a debit, that of all debits first."""
    found = [ALL]
    if subject is not None:
        found.append(of_subject(subject))
    if dimensions:
        found += [of_dimension(key, value) for key, value in dimensions.items()]
    return found


def parts(tag: str) -> tuple[str | None, str | None]:
    """The dimension's key and the value; of a subject the value alone; of all neither."""
    read: list[str] = json.loads(tag)
    if len(read) == _PARTS_MAX:
        return read[0], read[1]
    return None, read[0] if read else None


def subject(given: str | None) -> str | None:
    """A subject as it is kept: in one writing, so that two that look the same are the same budget's.

    Raises:
        Refused: empty, too long, or not plain text.
    """
    return None if given is None else _checked(given, "subject", SUBJECT_MAX)


def dimensions(given: Mapping[str, str] | None) -> dict[str, str] | None:
    """Dimensions as they are kept; None for none.

    Raises:
        Refused: too many, two of one name, or a key or value that is empty, too long or not plain text.
    """
    if not given:
        return None
    if len(given) > DIMENSIONS_MAX:
        raise Refused("invalid_field", f"dimensions may have {DIMENSIONS_MAX} pairs.", field="dimensions")
    kept = {
        _checked(key, "dimensions", KEY_MAX, "A key of dimensions"): _checked(
            value, "dimensions", VALUE_MAX, "A value of dimensions"
        )
        for key, value in given.items()
    }
    if len(kept) < len(given):
        raise Refused("invalid_field", "Two keys of dimensions are written alike.", field="dimensions")
    return kept


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Dimensions that are written as `key=value`.

    Raises:
        Refused: one is written otherwise.
    """
    parted = [one.partition("=") for one in given]
    if any(not equals for _, equals, _ in parted):
        raise Refused("invalid_field", "A dimension is given as key=value.", field="dimension")
    return {key: value for key, _, value in parted}


def _checked(given: str, field: str, most: int, what: str | None = None) -> str:
    value, what = text.one_writing(given), what or field
    if not 1 <= len(value) <= most:
        raise Refused("invalid_field", f"{what} must have 1 to {most} characters.", field=field)
    if not text.plain(value) or not _KEY.fullmatch(value):
        detail = f"{what} must be plain text, without control characters and without spaces at its ends."
        raise Refused("invalid_field", detail, field=field)
    return value
