"""A stream of tokens that is paid while it runs, stops between two tokens when the balance ends, and goes on after a
top-up.

BRIMFUL_URL=http://127.0.0.1:8000 BRIMFUL_API_KEY=bfk_... python examples/python/stream.py CUSTOMER_ID
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from decimal import Decimal

from brimful_client import AsyncClient, AsyncLease, WindDown

PRICE = Decimal("0.01")  # of a token
PAID_EVERY = 10  # tokens: one call for each would be many
TOKENS = int(os.environ.get("TOKENS", "400"))
PATIENCE_S = float(os.environ.get("PATIENCE_S", "600"))


async def tokens() -> AsyncIterator[str]:
    """What a model would write."""
    for number in range(TOKENS):
        await asyncio.sleep(0.01)
        yield f"token-{number}"


async def paid(lease: AsyncLease, count: int) -> None:
    """Pay what was written; when the balance ends, tell the reader and wait for more."""
    try:
        await lease.use(PRICE * count)
    except WindDown as notice:
        print(f"\n[paused: {notice.why}. Top up, and it goes on.]", flush=True)
        if not await lease.wait(timeout_s=PATIENCE_S, every_s=0.2):
            raise
        print("[it goes on]", flush=True)


async def main(customer_id: str) -> None:
    async with AsyncClient(os.environ["BRIMFUL_URL"], os.environ["BRIMFUL_API_KEY"]) as brimful:
        terms = {"chunk": PRICE * PAID_EVERY * 2, "wind_down_s": 1, "subject": "stream"}
        async with brimful.lease(customer_id, "USD", **terms) as lease:
            unpaid = 0
            async for token in tokens():
                print(token, end=" ", flush=True)
                unpaid += 1
                if unpaid == PAID_EVERY:
                    await paid(lease, unpaid)
                    unpaid = 0
            await paid(lease, unpaid)
            print(f"\n[done: {lease.used} USD]", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except WindDown as notice:
        sys.exit(f"[stopped: {notice.why}]")
