"""Credits of a kind: those that expire, those that begin later, bonuses and the offers they come from."""

from brimful.grants import (
    bonuses as bonuses,
    due as due,
    notices as notices,
    offers as offers,
    scheduled as scheduled,
)
