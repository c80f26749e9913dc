"""`make storm ROUNDS=n`: a thousand debits cross a line at once, n times; n top-ups, every debit right."""

import asyncio
import contextlib
import logging
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from conftest import _on_server, local_server
from integration import test_crossing as crossing
from support.harness import Harness


async def rounds(url, count):
    top_ups = 0
    async with Harness.opened(url) as harness:
        for number in range(count):
            customer_id, _ = await harness.funded(balance=12, threshold="10", name=f"Storm {number}")
            verdicts = await crossing.storm(harness, customer_id)
            await crossing.assert_one_top_up_and_every_debit(harness, customer_id, verdicts)
            top_ups += len(await harness.top_ups(customer_id))
    return top_ups


def main(count="100"):
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    with local_server() as url, contextlib.closing(_on_server(url, "template_storm")) as clusters:
        cluster = next(clusters)
        made = asyncio.run(rounds(cluster.url(cluster.clone()), int(count)))
    print(f"{count} x {crossing.DEBITS} concurrent debits through {crossing.RECORDERS} recorders: {made} top-ups, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    return 0 if made == int(count) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
