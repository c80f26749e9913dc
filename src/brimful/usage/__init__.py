"""The usage room: everything that moves a balance from outside, decided purely and committed in groups."""

from brimful.usage.decide import Movement, Verdict, decide
from brimful.usage.record import PLANS, Recorder

__all__ = ["PLANS", "Movement", "Recorder", "Verdict", "decide"]
