#!/bin/sh
# procrastinate 3.10.0 (PyPI): a worker that listens is told of a new job by a notification, and starts it at once. One that arrives
# while the worker is asking the queue for its next job, after the queue was read and before the answer is back, is forgotten: the event
# that it sets is cleared when the answer comes. The job then waits for the polling interval (5 s by default). The answer of the queue
# is delayed here by 0.3 s, as a database that is far away, or busy, does it.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check "procrastinate==3.10.0"
"$dir/venv/bin/python" - >"$dir/seen" <<'PY'
import asyncio
import time

import procrastinate
import procrastinate.testing

POLLING_S = 2.0


class FarAway(procrastinate.testing.InMemoryConnector):
    async def execute_query_one_async(self, query, **arguments):
        answer = await super().execute_query_one_async(query, **arguments)
        if "fetch_job" in query or query == procrastinate.sql.queries["fetch_job"]:
            await asyncio.sleep(0.3)  # on its way back
        return answer


app = procrastinate.App(connector=FarAway())
started = {}


@app.task(name="pay")
async def pay(which):
    started[which] = time.monotonic()


async def main():
    async with app.open_async():
        working = asyncio.create_task(
            app.run_worker_async(fetch_job_polling_interval=POLLING_S, install_signal_handlers=False)
        )
        await asyncio.sleep(1.0)  # it has looked once and waits
        deferred = {}
        for which, pause_s in (("told while it waits", 0.75), ("told while it asks", 0.0)):
            # 0.75 s after the first, its answer (0.3 s) has come and the queue is being asked whether there is more
            deferred[which] = time.monotonic()
            await app.configure_task("pay").defer_async(which=which)
            await asyncio.sleep(0.45 if pause_s else POLLING_S + 1.0)
        for which, at in deferred.items():
            waited = started[which] - at
            print(f"{which}: started {'at once' if waited < 1.0 else 'by the next poll'}")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


asyncio.run(main())
PY
cat >"$dir/expected" <<'END'
told while it waits: started at once
told while it asks: started by the next poll
END
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
