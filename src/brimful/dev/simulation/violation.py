"""What an auditor raises."""

from typing import Any


class Violation(AssertionError):  # noqa: N818 - the word of the field
    """An invariant does not hold."""


def must(holds: bool, invariant: str, detail: Any) -> None:
    """Raise a violation unless it holds."""
    if not holds:
        raise Violation(f"{invariant}: {detail}")
