"""`make failover-lab ROUNDS=n`: the primary is killed under load, the standby promoted, and the books compared.

Each round: usage and top-ups run, the primary dies by kill -9, the other takes over, the platform goes on, and every
event that was ever acknowledged is looked for. In the end reconciliation, the sandbox's books and every invariant. With
a synchronous standby nothing may be lost; with an asynchronous one (`--asynchronous`) what was lost is counted, and
every payment is found again.
"""

import asyncio
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brimful import db, runtime
from failover.pair import Pair
from soak.run import Soak, told

SPENDERS = 8
LOAD_S = (0.6, 1.6)  # before the primary dies
STALL_S = 0.4  # nothing reaches an asynchronous standby in the last moments
ANSWERS_S = 0.2  # until what was committed before the kill is answered
BACK_S = 60
NOTED = """
    SELECT 1 FROM restore_guard
    WHERE timeline = ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
"""


class Lab(Soak):
    """The soak's processes, platform and customers on a pair of servers."""

    doors, workers = 2, 1

    def __init__(self, home, rounds, seed, *, synchronous):
        super().__init__(home, 0, seed)
        self.rounds = rounds
        self.synchronous = synchronous
        home_of_both = runtime.embedded_postgres._ROOT_HOME if runtime.embedded_postgres._as_root() else home
        self.pair = Pair(home_of_both / f"lab-{home.name}", "a-password-for-the-lab", synchronous=synchronous)
        self.away_s = []
        self.lost = set()

    async def start_database(self):
        await asyncio.to_thread(self.pair.start)
        db.migrate.apply(self.pair.primary.url())
        self.database_url = self.pair.url()

    def admin_url(self):
        return self.pair.primary.url()

    async def run(self):
        try:
            await self.start()
            await self.cast()
            tasks = [asyncio.create_task(one()) for one in (self.keep_alive, self.come_back, *[self.spend] * SPENDERS)]
            for number in range(self.rounds):
                await self.round()
                for task in tasks:
                    if task.done():
                        task.result()
                print(f"round {number + 1}: {len(self.acknowledged)} acknowledged, {len(self.lost)} lost, "
                      f"away for {self.away_s[-1]:.1f} s", file=sys.stderr)  # fmt: skip
            self.ending = True
            await asyncio.gather(*tasks)
            return await self.compare()
        finally:
            await self.close()

    async def round(self):
        await self.until_open()
        await asyncio.sleep(self.dice.uniform(*LOAD_S))
        if not self.synchronous:
            self.pair.stall()
            await asyncio.sleep(STALL_S)
        began = time.monotonic()
        await asyncio.to_thread(self.pair.primary.kill)
        await asyncio.sleep(ANSWERS_S)
        before = set(self.acknowledged)  # whatever is acknowledged after this is by the other
        await asyncio.to_thread(self.pair.fail_over)
        count = len(self.acknowledged)
        while len(self.acknowledged) <= count + SPENDERS:  # they go on
            assert time.monotonic() < began + BACK_S, "nothing is acknowledged any more"
            await asyncio.sleep(0.02)
        self.away_s.append(time.monotonic() - began)
        written = {row["key"] for row in self.sql("SELECT key FROM entries WHERE source = 'usage'")}
        self.lost |= before - written
        self.counts["kills"] += 1
        await asyncio.to_thread(self.pair.take_back)

    async def compare(self):
        async def calm():
            async with self.stripe() as stripe:
                await stripe.delete("/sandbox/switches")

        await calm()
        await self.until_open()
        await self.rest()
        reconciled = await asyncio.to_thread(self.command, "reconcile", "--json", str(self.home / "reconcile.json"))
        await self.rest()
        result = await self.books(reconciled)
        # What an asynchronous standby never got is lost, and known to be; nothing else may be. No process gives up.
        lost = self.lost if not self.synchronous else set()
        result["ok"] = result["lost"] == len(lost) and not (
            result["doubled"] or result["paid_twice"] or result["invariants_broken"] or any(result["drift"].values())
            or result["respawned"] or reconciled[0]
        )  # fmt: skip
        ranked = sorted(self.away_s)
        away = {"p50": round(ranked[len(ranked) // 2], 2), "most": round(ranked[-1], 2)}
        holds = self.sql("SELECT count(*) AS n FROM audit WHERE action = 'charging.suspended'")
        return {
            "rounds": self.rounds, "standby": "synchronous" if self.synchronous else "asynchronous", **result,
            "away_s": away, "charging_held_and_reconciled": holds[0]["n"],
        }  # fmt: skip

    async def until_open(self):
        """A worker notes a failover, and holds charging until payments were compared with Stripe. Before it is noted,
        nothing is held yet: the next round would begin too early.
        """
        deadline = time.monotonic() + 120
        while not self.sql(NOTED) or self.sql("SELECT 1 FROM suspensions"):
            assert time.monotonic() < deadline, self.sql("SELECT * FROM suspensions, restore_guard")
            await asyncio.sleep(0.5)

    async def close(self):
        await self.end_processes()
        self.pair.stop()
        self.directory.unlock()
        self.directory.remove()


def main(rounds="50", *options):
    home = pathlib.Path(tempfile.mkdtemp(prefix="brimful-lab-"))
    json_file = next((option for option in options if not option.startswith("--")), None)
    try:
        lab = Lab(home, int(rounds), 20261126, synchronous="--asynchronous" not in options)
        result = asyncio.run(lab.run())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return told(result, json_file)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
