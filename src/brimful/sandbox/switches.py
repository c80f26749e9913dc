"""Switches: the faults that a developer or a test can turn on.

    {"call": "payment_intents.confirm", "fault": "drop_after", "times": 1}

`call` is a name of the parameter table, or `*`. `times` is how many calls it hits, or `rate` the share of
calls. The faults:

    drop_before     the connection closes; nothing was done
    drop_after      it was done; the answer is lost
    error_before    500; nothing was done
    error_after     500; it was done
    busy            429
    busy_retry      429 with `Stripe-Should-Retry: true`
    lock_timeout    429 with that code
    forbidden       403
    slow            waits `seconds`, then does it
    slow_answer     does it, then waits `seconds` before the answer
    garbled         it was done; the answer is none that Stripe would give
    proxy           somebody else answers, with `status` (default 502) and a page; nothing was done
    proxy_after     it was done; somebody else answers
    cut             it was done; the answer ends in its middle
    drip            it was done; the answer comes a byte every `seconds`
    flood           it was done; the answer has no end
    processing      a confirmed payment stays `processing` until it is finished
    decline         `decline_code`, and `advice_code` if given, instead of success
    refund_pending  a refund stays `pending` until it is finished

    {"webhooks": "off"}

on, off, late (by `seconds`), duplicated, reordered (each waits for the next, which goes first), forged (each is
preceded by copies that somebody else signed).
"""

import dataclasses
import random
from typing import Any

from brimful.sandbox.errors import ApiError
from brimful.sandbox.params import CALLS

FAULTS = (
    "drop_before", "drop_after", "error_before", "error_after", "busy", "busy_retry", "lock_timeout", "forbidden",
    "slow", "slow_answer", "garbled", "proxy", "proxy_after", "cut", "drip", "flood", "processing", "decline",
    "refund_pending",
)  # fmt: skip
WEBHOOK_MODES = ("on", "off", "late", "duplicated", "reordered", "forged")


@dataclasses.dataclass
class Switch:
    """One fault for one call."""

    call: str
    fault: str
    times: int | None = 1
    rate: float | None = None
    seconds: float = 0.0
    status: int = 502
    decline_code: str | None = None
    advice_code: str | None = None


class Switches:
    """What is turned on."""

    def __init__(self) -> None:
        self.active: list[Switch] = []
        self.webhooks = "on"
        self.webhook_delay_s = 5.0
        self._dice = random.Random(20261101)  # noqa: S311 - repeatable on purpose

    def set(self, wanted: dict[str, Any]) -> None:
        """Change what the control page or API names; refuses what it does not know."""
        if "webhooks" in wanted:
            if wanted["webhooks"] not in WEBHOOK_MODES:
                raise ApiError(400, f"webhooks must be one of {', '.join(WEBHOOK_MODES)}")
            self.webhooks = wanted["webhooks"]
            self.webhook_delay_s = float(wanted.get("seconds", self.webhook_delay_s))
        else:
            self._add(wanted)

    def _add(self, wanted: dict[str, Any]) -> None:
        unknown = set(wanted) - {field.name for field in dataclasses.fields(Switch)}
        if unknown or wanted.get("fault") not in FAULTS or wanted.get("call") not in {*CALLS, "*"}:
            raise ApiError(
                400, f"A switch is {{call, fault, times | rate, seconds, status}}; faults: {', '.join(FAULTS)}"
            )
        if "rate" in wanted:
            wanted = {"times": None, **wanted}
        self.active.append(Switch(**wanted))

    def clear(self) -> None:
        self.active.clear()
        self.webhooks = "on"

    def take(self, call: str, fault: str) -> Switch | None:
        """Whether this fault hits this call; counts it."""
        for switch in self.active:
            if switch.fault != fault or switch.call not in {call, "*"}:
                continue
            if switch.rate is not None and self._dice.random() >= switch.rate:
                continue
            if switch.times is not None:
                switch.times -= 1
                if switch.times <= 0:
                    self.active.remove(switch)
            return switch
        return None

    def shown(self) -> dict[str, Any]:
        return {
            "webhooks": self.webhooks,
            "active": [dataclasses.asdict(switch) for switch in self.active],
        }
