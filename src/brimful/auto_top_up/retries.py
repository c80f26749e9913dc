"""When a declined payment is tried again: soon where nobody decided, in hours where a bank did. Pure."""

import datetime as dt

from brimful.gateway.declines import DeclineKind

# After a failure that nobody decided: a hiccup at an issuer, or in the network.
TECHNICAL_WAITS = (dt.timedelta(minutes=1), dt.timedelta(minutes=5), dt.timedelta(minutes=30))


def wait_after(
    kind: DeclineKind, technical: int, soft: int, soft_waits: tuple[dt.timedelta, ...]
) -> dt.timedelta | None:
    """How long until the next try; None where there is none.

    Args:
        kind: of the latest decline: TECHNICAL or SOFT.
        technical: how many technical failures the top-up has had, with the latest.
        soft: how many declines by a bank it has had, with the latest.
        soft_waits: between tries after a bank's decline; also after too many technical failures.
    """
    if kind is DeclineKind.TECHNICAL and technical <= len(TECHNICAL_WAITS):
        return TECHNICAL_WAITS[technical - 1]
    tried = soft + max(0, technical - len(TECHNICAL_WAITS))
    return soft_waits[tried - 1] if tried <= len(soft_waits) else None
