"""The trace: real requests to a language model, or generated ones of the same shape."""

import csv
import dataclasses
import datetime as dt
import pathlib
import random

from brimful.core.errors import ConfigurationError

_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
_ROWS_MAX = 5_000_000
_TOKENS_MAX = 10_000_000


@dataclasses.dataclass(frozen=True)
class Request:
    """One request: seconds since the first one, and its tokens."""

    at_s: float
    context: int
    generated: int


def read(path: pathlib.Path) -> list[Request]:
    """Read a CSV of the form `TIMESTAMP,ContextTokens,GeneratedTokens`.

    Raises:
        ConfigurationError: naming the file and the line that cannot be used.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if [name.strip() for name in next(rows, [])] != _HEADER:
                raise ConfigurationError(f"{path}: the first line must be {','.join(_HEADER)}.")
            parsed = [_row(path, number, row) for number, row in enumerate(rows, start=2) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    if not parsed:
        raise ConfigurationError(f"{path} has no requests.")
    start = min(at for at, _, _ in parsed)
    requests = [Request((at - start).total_seconds(), context, generated) for at, context, generated in parsed]
    return sorted(requests, key=lambda request: request.at_s)


def _row(path: pathlib.Path, number: int, row: list[str]) -> tuple[dt.datetime, int, int]:
    if number > _ROWS_MAX:
        raise ConfigurationError(f"{path} has more than {_ROWS_MAX} lines.")
    try:
        stamp, context, generated = (part.strip() for part in row)
        # Seven decimals in the original; Python reads six.
        at = dt.datetime.fromisoformat(stamp[:26])
        tokens = int(context), int(generated)
    except ValueError:
        raise ConfigurationError(
            f"{path}, line {number}: {','.join(row)[:80]!r} is not TIMESTAMP,ContextTokens,GeneratedTokens."
        ) from None
    if not all(0 <= count <= _TOKENS_MAX for count in tokens) or not sum(tokens):
        raise ConfigurationError(f"{path}, line {number}: token counts must be 0 to {_TOKENS_MAX}, not both 0.")
    return at, *tokens


def generate(count: int, seed: int) -> list[Request]:
    """Requests of the same shape: bursts, long prompts, short answers, with long tails."""
    dice = random.Random(seed)
    at, requests = 0.0, []
    for _ in range(count):
        at += dice.expovariate(5.5)
        context = min(14_000, int(dice.lognormvariate(6.6, 1.0)) + 1)
        requests.append(Request(at, context, min(1_000, int(dice.lognormvariate(4.9, 0.9)) + 1)))
    return requests
