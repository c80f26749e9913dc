"""Rounds: what is measured takes turns with its reference, so that the machine's moods meet both.

One window of each gave 3.8x and 12.6x for the same row of the same commit. A ratio is taken within a round, and a row
shows the median of its rounds and how far they lie apart.
"""

import collections
import dataclasses
import statistics
from typing import Any

from brimful.dev.bench import ground
from brimful.dev.bench.ground import Times

ROUNDS = 5
_STEADY = 0.5  # the rounds' ratios lie within half of their median


@dataclasses.dataclass(frozen=True)
class _Sample:
    rate: float
    times: Times
    reference: float | None  # the rate of its reference in this round; None for a reference


class Rounds:
    """Rates by name, each beside the latest of its reference."""

    def __init__(self) -> None:
        self._samples: dict[str, list[_Sample]] = collections.defaultdict(list)

    def add(self, what: str, rate: float, times: Times, *, against: str | None = None) -> None:
        """One window. `against` names its reference, which was measured in this round; None for a reference."""
        reference = None if against is None else self._samples[against][-1].rate
        self._samples[what].append(_Sample(rate, times, reference))

    def rate(self, what: str) -> float:
        """The median of its rates."""
        return statistics.median(sample.rate for sample in self._samples[what])

    def ratio(self, what: str) -> float:
        """The median of its ratios to its reference."""
        return statistics.median(self._ratios(what))

    def spread(self, what: str) -> tuple[float, float]:
        """The lowest and the highest of its ratios."""
        ratios = self._ratios(what)
        return min(ratios), max(ratios)

    def steady(self, what: str) -> bool:
        """Whether its rounds agree well enough to say anything."""
        low, high = self.spread(what)
        return high - low <= _STEADY * self.ratio(what)

    def figures(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            what: {
                "rate": self.rate(what), "ratio": self.ratio(what), "spread": self.spread(what),
                "steady": self.steady(what), "p50_ms": self._times(what).p50, "p99_ms": self._times(what).p99,
                "rounds": [sample.rate for sample in samples],
            }
            for what, samples in self._samples.items()
        }  # fmt: skip

    def table(self, note: str) -> None:
        """Print it: each row with its median, and how far its rounds lie apart; one that says too little says so."""
        ground.table(
            ("what", "debits/s", "p50 ms", "p99 ms", "against its reference", "over the rounds", ""),
            [
                (
                    what, f"{self.rate(what):,.0f}", f"{self._times(what).p50:.1f}",
                    f"{self._times(what).p99:.1f}", f"{self.ratio(what):.2f}x",
                    "{:.2f}-{:.2f}".format(*self.spread(what)), "" if self.steady(what) else "unsteady",
                )
                for what in self._samples
            ],
            note,
        )  # fmt: skip

    def _ratios(self, what: str) -> list[float]:
        """Of each round; a reference's are to its own median, so that it says how steady it was."""
        middle = self.rate(what)
        return [sample.rate / (sample.reference or middle) for sample in self._samples[what]]

    def _times(self, what: str) -> Times:
        seen = [sample.times for sample in self._samples[what]]
        return Times(statistics.median(one.p50 for one in seen), statistics.median(one.p99 for one in seen))
