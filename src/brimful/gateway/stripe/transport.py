"""HTTP under the SDK: one connection pool, no redirects, and a bound on what an answer may be.

The SDK's own httpx client reads an answer of any length to its end.
"""

import functools
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import stripe

ANSWER_MAX = 8_000_000  # bytes; a page of a hundred disputes with all their evidence is a tenth of it


class Transport(stripe.HTTPClient):
    """Sends the SDK's requests. `timeout_s` is for connecting, and for each read and write."""

    name = "httpx"

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, verify=_authorities())

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request. Raises `stripe.APIConnectionError` when no whole answer comes, or one that is too long."""
        try:
            async with self._client.stream(method, url, headers=headers, content=post_data or None) as answer:
                return await _bounded(answer), answer.status_code, answer.headers
        except httpx.HTTPError as error:
            raise _unheard(f"No answer ({type(error).__name__}).") from error

    async def close_async(self) -> None:
        await self._client.aclose()


@functools.cache
def _authorities() -> ssl.SSLContext:
    """The certificate authorities that Stripe ships with its SDK."""
    return ssl.create_default_context(cafile=stripe.ca_bundle_path)


async def _bounded(answer: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) > ANSWER_MAX:
            raise _unheard(f"An answer of more than {ANSWER_MAX} bytes.")
    return bytes(content)


def _unheard(message: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(message, should_retry=False)  # type: ignore[no-untyped-call]
