"""What attacks tell of themselves: what was tried, what got through, and how long the answers took.

`make test` runs them short, `make attack` long and with a table at the end. In both, whatever gets through fails.
"""

import contextlib
import dataclasses
import itertools
import os
import statistics
import time

__all__ = ["Attack", "long_form", "some", "times"]

LONG_S = 2  # a malformed input that takes so long stops others
GOAL_MS = 50
_TELLS = ("Traceback", "psycopg", "SELECT ", "/site-packages/", 'File "')


def long_form():
    """Whether this is `make attack`."""
    return "BRIMFUL_ATTACK" in os.environ


def times(short, long):
    """How many of something: in `make test`, and in `make attack`."""
    return long if long_form() else short


_turn = itertools.count()


def some(things, every):
    """One in `every` in `make test`, each time others, so that all are used between them; in `make attack` all."""
    return things if long_form() else things[next(_turn) % every :: every]


@dataclasses.dataclass
class Attack:
    """One attack, counted."""

    name: str
    tried: int = 0
    through: list[str] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def count(self, number=1):
        self.tried += number

    def got_through(self, what):
        self.through.append(what)

    @contextlib.contextmanager
    def timed(self, what):
        """One try. What takes two seconds has got through."""
        begun_s = time.perf_counter()
        yield
        took_s = time.perf_counter() - begun_s
        self.tried += 1
        self.seconds.append(took_s)
        self.slowest = max(self.slowest, (took_s, str(what)))
        if took_s >= LONG_S:
            self.through.append(f"{what} took {took_s:.1f} s")

    def judge(self, answer, what):
        """An answer to something odd: never a fault of ours, and no word of how we are made."""
        if answer.status_code >= 500:
            self.through.append(f"{what}: {answer.status_code}")
        for word in _TELLS:
            if word in answer.text:
                self.through.append(f"{what}: the answer says {word!r}")

    @property
    def p99_ms(self):
        """Milliseconds within which 99 of 100 were answered; None if nothing was timed."""
        return None if len(self.seconds) < 2 else statistics.quantiles(self.seconds, n=100)[98] * 1000
