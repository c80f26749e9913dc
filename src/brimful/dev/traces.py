"""Traces: real requests to a language model, read as a stream, or generated ones of the same shape."""

import csv
import dataclasses
import datetime as dt
import pathlib
import random
from collections.abc import Iterator

from brimful.core.errors import ConfigurationError

_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
_TOKENS_MAX = 10_000_000


@dataclasses.dataclass(frozen=True)
class Request:
    """One request: seconds since the first one, and its tokens."""

    at_s: float
    context: int
    generated: int


@dataclasses.dataclass(frozen=True)
class Trace:
    """A CSV of the form `TIMESTAMP,ContextTokens,GeneratedTokens`, as the Azure LLM inference traces of 2023 and 2024
    are, of any size: it is read anew each time, line by line.

    Moments may have a fraction or not, and a zone or not (then UTC). A line that is earlier than the one before it
    counts as of the same moment. `rows` bounds how many are read.
    """

    path: pathlib.Path
    rows: int | None = None

    def __iter__(self) -> Iterator[Request]:
        """Raises ConfigurationError, which names the file and the line that cannot be used."""
        start: dt.datetime | None = None
        latest_s = 0.0
        for at, context, generated in self._lines():
            start = start or at
            latest_s = max(latest_s, (at - start).total_seconds())
            yield Request(latest_s, context, generated)
        if start is None:
            raise ConfigurationError(f"{self.path} has no requests.")

    def _lines(self) -> Iterator[tuple[dt.datetime, int, int]]:
        count = 0
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.reader(file)
                if [name.strip() for name in next(rows, [])] != _HEADER:
                    raise ConfigurationError(f"{self.path}: the first line must be {','.join(_HEADER)}.")
                for row in rows:
                    if count == self.rows:
                        return
                    if row:
                        count += 1
                        yield self._line(rows.line_num, row)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error}.") from error

    def _line(self, number: int, row: list[str]) -> tuple[dt.datetime, int, int]:
        try:
            stamp, context, generated = (part.strip() for part in row)
            at = dt.datetime.fromisoformat(stamp)
            tokens = int(context), int(generated)
        except ValueError:
            raise ConfigurationError(
                f"{self.path}, line {number}: {','.join(row)[:80]!r} is not TIMESTAMP,ContextTokens,GeneratedTokens."
            ) from None
        if not all(0 <= count <= _TOKENS_MAX for count in tokens) or not sum(tokens):
            raise ConfigurationError(
                f"{self.path}, line {number}: token counts must be 0 to {_TOKENS_MAX}, not both 0."
            )
        return (at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC), *tokens)


@dataclasses.dataclass(frozen=True)
class Generated:
    """Requests of the same shape: bursts, long prompts, short answers, with long tails. A seed repeats itself."""

    count: int
    seed: int

    def __iter__(self) -> Iterator[Request]:
        dice, at = random.Random(self.seed), 0.0
        for _ in range(self.count):
            at += dice.expovariate(5.5)
            context = min(14_000, int(dice.lognormvariate(6.6, 1.0)) + 1)
            yield Request(at, context, min(1_000, int(dice.lognormvariate(4.9, 0.9)) + 1))


def survey(trace: Trace | Generated) -> tuple[int, float]:
    """How many requests there are, and how many seconds they span. Refuses a file that holds a bad line."""
    count, last = 0, 0.0
    for request in trace:
        count, last = count + 1, request.at_s
    return count, last
