"""The usage room: everything that moves a balance from outside, decided purely and committed in groups."""

from brimful.usage.decide import decide
from brimful.usage.expire import expire
from brimful.usage.holding import Shelf
from brimful.usage.model import Kind, Movement, Overrun, Verdict
from brimful.usage.record import PLANS, Recorder

__all__ = ["PLANS", "Kind", "Movement", "Overrun", "Recorder", "Shelf", "Verdict", "decide", "expire"]
