"""The two clients: the same operations, waiting or as coroutines."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

import httpx

from brimful_client import calls
from brimful_client.calls import Call
from brimful_client.decode import DecodeError, decode
from brimful_client.errors import ApiError, ConnectionFailedError, Problem
from brimful_client.lease import AsyncLease, Lease, LeaseTerms

P = ParamSpec("P")
Shape = TypeVar("Shape")
_RETRIES = 4
_TIMEOUT_S = 30.0
_WAIT_S, _WAIT_MAX_S, _ASKED_MAX_S = 0.25, 8.0, 60
_AGAIN = frozenset({429, 502, 503, 504})


class _Operation(Generic[P, Shape]):
    """An operation as a method: of a `Client` it answers, of an `AsyncClient` it is to be awaited."""

    def __init__(self, build: Callable[P, Call[Shape]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, Shape]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, Shape]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Callable[P, Call[Shape]]: ...
    def __get__(self, client: "Client | AsyncClient | None", owner: type) -> Any:
        if client is None:
            return self._build

        def operate(*positional: P.args, **named: P.kwargs) -> "Shape | Awaitable[Shape]":
            return client.send(self._build(*positional, **named))

        operate.__doc__ = self.__doc__
        return operate


class _Operations:
    create_customer = _Operation(calls.create_customer)
    get_customer = _Operation(calls.get_customer)
    find_customer = _Operation(calls.find_customer)
    create_asset = _Operation(calls.create_asset)
    get_asset = _Operation(calls.get_asset)
    update_asset = _Operation(calls.update_asset)
    quote = _Operation(calls.quote)
    get_wallet = _Operation(calls.get_wallet)
    get_account = _Operation(calls.get_account)
    list_entries = _Operation(calls.list_entries)
    record_usage = _Operation(calls.record_usage)
    record_usages = _Operation(calls.record_usages)
    adjust = _Operation(calls.adjust)
    charge = _Operation(calls.charge)
    list_grants = _Operation(calls.list_grants)
    list_grant_entries = _Operation(calls.list_grant_entries)
    get_transaction = _Operation(calls.get_transaction)
    hold = _Operation(calls.hold)
    get_hold = _Operation(calls.get_hold)
    list_holds = _Operation(calls.list_holds)
    use_lease = _Operation(calls.use_lease)
    capture = _Operation(calls.capture)
    release = _Operation(calls.release)
    set_budget = _Operation(calls.set_budget)
    get_budget = _Operation(calls.get_budget)
    list_budgets = _Operation(calls.list_budgets)
    end_budget = _Operation(calls.end_budget)
    get_spend = _Operation(calls.get_spend)
    explain_debit = _Operation(calls.explain_debit)
    set_alert = _Operation(calls.set_alert)
    list_alerts = _Operation(calls.list_alerts)
    remove_alert = _Operation(calls.remove_alert)
    portal_link = _Operation(calls.portal_link)
    balance_token = _Operation(calls.balance_token)
    payment_link = _Operation(calls.payment_link)
    get_top_up = _Operation(calls.get_top_up)
    list_top_ups = _Operation(calls.list_top_ups)
    list_rules = _Operation(calls.list_rules)
    list_cards = _Operation(calls.list_cards)
    create_webhook = _Operation(calls.create_webhook)
    list_webhooks = _Operation(calls.list_webhooks)
    get_webhook = _Operation(calls.get_webhook)
    update_webhook = _Operation(calls.update_webhook)
    delete_webhook = _Operation(calls.delete_webhook)
    rotate_webhook = _Operation(calls.rotate_webhook)
    test_webhook = _Operation(calls.try_webhook)
    replay_event = _Operation(calls.replay_event)
    replay_missed = _Operation(calls.replay_missed)

    usage_event = staticmethod(calls.usage_event)


class Client(_Operations):
    """Waits for each answer.

    Args:
        url: of the server, such as `https://billing.example.com`.
        key: an API key.
        timeout_s: of one attempt.
        retries: how often what is safe to send again is, when nobody answers or is asked to wait; under the same key.
        transport: for tests.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        retries: int = _RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.Client(**_options(url, key, timeout_s), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[Shape]) -> Shape:
        """Carry out one call.

        Raises:
            Problem: the server refused.
            ConnectionFailedError: it did not answer.
        """
        attempt = 0
        while True:
            try:
                answer = self._http.request(**_request(call))
            except httpx.TransportError as error:
                wait_s = _after_silence(call, error, attempt, self._retries)
            else:
                pause_s = _after(call, answer, attempt, self._retries)
                if pause_s is None:
                    return _read(call, answer)
                wait_s = pause_s
            time.sleep(wait_s)
            attempt += 1

    def lease(self, customer_id: str, asset: str, **terms: Unpack[LeaseTerms]) -> Lease:
        """A lease for a running job, to be entered with `with`: see `Lease`."""
        return Lease(self.send, customer_id, asset, terms)


class AsyncClient(_Operations):
    """The same with coroutines. Takes what `Client` takes."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        retries: int = _RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.AsyncClient(**_options(url, key, timeout_s), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[Shape]) -> Shape:
        """Carry out one call; raises what `Client.send` raises."""
        attempt = 0
        while True:
            try:
                answer = await self._http.request(**_request(call))
            except httpx.TransportError as error:
                wait_s = _after_silence(call, error, attempt, self._retries)
            else:
                pause_s = _after(call, answer, attempt, self._retries)
                if pause_s is None:
                    return _read(call, answer)
                wait_s = pause_s
            await asyncio.sleep(wait_s)
            attempt += 1

    def lease(self, customer_id: str, asset: str, **terms: Unpack[LeaseTerms]) -> AsyncLease:
        """A lease for a running job, to be entered with `async with`: see `AsyncLease`."""
        return AsyncLease(self.send, customer_id, asset, terms)


def _options(url: str, key: str, timeout_s: float) -> dict[str, Any]:
    return {
        "base_url": f"{url.rstrip('/').removesuffix('/v1')}/v1",
        "headers": {"Authorization": f"Bearer {key}", "User-Agent": "brimful-python"},
        "timeout": timeout_s,
        "follow_redirects": True,  # find_customer answers with one
    }


def _request(call: Call[Any]) -> dict[str, Any]:
    return {"method": call.method, "url": call.path, "params": call.query, "json": call.body, "headers": call.headers}


def _after_silence(call: Call[Any], error: httpx.TransportError, attempt: int, retries: int) -> float:
    """How long to wait before asking again; raises when that is not safe, or was tried often enough."""
    if not call.again or attempt >= retries:
        raise ConnectionFailedError(
            f"{call.method} {call.path}: no answer from {error.request.url} ({type(error).__name__}: {error})"
        ) from error
    return _pause_s(attempt, None)


def _after(call: Call[Any], answer: httpx.Response, attempt: int, retries: int) -> float | None:
    """How long to wait before asking again; None when this answer stands."""
    running = answer.status_code == httpx.codes.CONFLICT and b'"request_in_progress"' in answer.content
    if not (running or answer.status_code in _AGAIN) or not call.again or attempt >= retries:
        return None
    return _pause_s(attempt, answer.headers.get("retry-after"))


def _pause_s(attempt: int, asked: str | None) -> float:
    backoff: float = min(_WAIT_MAX_S, _WAIT_S * 2**attempt) * (0.5 + secrets.randbelow(1000) / 1000)
    return max(backoff, min(int(asked), _ASKED_MAX_S) if asked is not None and asked.isdigit() else 0)


def _read(call: Call[Shape], answer: httpx.Response) -> Shape:
    if answer.is_success:
        try:
            return decode(answer.content or b"null", call.shape)
        except DecodeError as error:
            raise ApiError(f"{call.method} {call.path}: {answer.request.url} is not Brimful's API: {error}") from error
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": answer.text[:300]}
    raise Problem(answer.status_code, body if isinstance(body, dict) else {"detail": str(body)[:300]})
