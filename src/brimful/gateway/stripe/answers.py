"""One call of the SDK: its answer as plain data, or why there is none."""

import logging
from collections.abc import Awaitable
from typing import Any

import stripe

from brimful.gateway import snapshots
from brimful.gateway.gateway import Failure

_log = logging.getLogger(__name__)


async def answered(call: Awaitable[Any]) -> dict[str, Any] | Failure:
    """One call: its answer as plain data, or why there is none. A decline is an answer."""
    try:
        answer = await call
    except stripe.CardError as error:
        intent = _declined_intent(error)
        return intent if intent is not None else failure(error)
    except stripe.StripeError as error:
        return failure(error)
    data: dict[str, Any] = answer.to_dict(recursive=True) if hasattr(answer, "to_dict") else dict(answer)
    return data


def _declined_intent(error: stripe.CardError) -> dict[str, Any] | None:
    return snapshots.declined_intent(error.json_body if isinstance(error.json_body, dict) else {})


def failure(error: stripe.StripeError, *, quiet: bool = False) -> Failure:
    """What an error of the SDK says about its call; `quiet` where it was asked for."""
    status, code = error.http_status, error.code
    message = " ".join(str(error.user_message or error).split())[:500]
    _log.log(logging.DEBUG if quiet else logging.WARNING, "Stripe: %s %s %s", status, code, message)
    unheard = isinstance(error, stripe.APIConnectionError)
    return Failure(snapshots.failure_kind(None if unheard else status, code), code, message)
