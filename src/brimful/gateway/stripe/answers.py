"""One call of the SDK: its answer as plain data, or why there is none."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import stripe

from brimful.gateway import snapshots
from brimful.gateway.gateway import Failure

_log = logging.getLogger(__name__)


async def answered(call: Awaitable[Any], *, kind: str, deadline_s: float) -> dict[str, Any] | Failure:
    """One call: its answer as plain data, or why there is none. A decline is an answer.

    Args:
        call: of the SDK.
        kind: the object that it answers with, as Stripe names it; anything else was answered by somebody else.
        deadline_s: for the whole call. The SDK's own time-out is for each read, so that an answer that comes a byte
            at a time has none.
    """
    try:
        async with asyncio.timeout(deadline_s):
            answer = await call
    except TimeoutError:
        return unheard(f"no whole answer within {deadline_s:.0f} s")
    except stripe.CardError as error:
        intent = snapshots.declined_intent(error.json_body)
        return intent if intent is not None else failure(error)
    except stripe.StripeError as error:
        return failure(error)
    data: dict[str, Any] = answer.to_dict(recursive=True) if hasattr(answer, "to_dict") else dict(answer)
    wanted: dict[str, Any] | Failure = snapshots.object_of(kind, data)
    return wanted


def unheard(message: str) -> Failure:
    """There was no answer, for a reason of our own."""
    return _logged(snapshots.failure(None, None, message), quiet=False)


def failure(error: stripe.StripeError, *, quiet: bool = False) -> Failure:
    """What an error of the SDK says about its call; `quiet` where it was asked for.

    Everything is read from the body: the error's own `code` is empty for 401, 403, 409, 424, 429 and 5xx, and its
    `json_body` holds the headers where the body was no JSON.
    """
    status = None if isinstance(error, stripe.APIConnectionError) else error.http_status
    return _logged(snapshots.failure(status, error.json_body, str(error)), quiet=quiet)


def _logged(failed: Failure, *, quiet: bool) -> Failure:
    level = logging.DEBUG if quiet else logging.WARNING
    _log.log(level, "Stripe: %s %s %s", failed.status, failed.code, failed.message)
    return failed
