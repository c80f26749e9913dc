"""Measurements: each beside its reference, in one run, on one server, on one machine."""

from typing import Any

from brimful.dev.bench import growth, herd, memory, portal, trigger, usage, verify

_QUESTIONS = {
    "usage": usage.run,
    "trigger": trigger.run,
    "herd": herd.run,
    "growth": growth.run,
    "memory": memory.run,
    "portal": portal.run,
    "verify": verify.run,
}
NAMES = tuple(_QUESTIONS)


def run(name: str) -> dict[str, Any]:
    """Measure one question of `NAMES` and print a table. Returns the figures."""
    return _QUESTIONS[name]()
