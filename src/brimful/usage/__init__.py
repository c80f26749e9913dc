"""The usage room: everything that moves a balance from outside, decided purely and committed in groups."""

from brimful.usage.decide import Movement, Verdict, decide
from brimful.usage.record import Recorder

__all__ = ["Movement", "Recorder", "Verdict", "decide"]
