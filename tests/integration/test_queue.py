"""The queue: a job is begun when it is there, not when somebody looks."""

import asyncio

import procrastinate
import pytest

from brimful import jobs
from brimful.core.ids import CustomerId
from brimful.db.pool import Database

POLLED_S = 20  # were it not told, a worker would look after so long


@pytest.fixture
async def database(database_url):
    opened = Database(database_url, "brimful_engine", pool_max=2)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_job_that_comes_while_the_worker_asks_for_another_is_begun_at_once(database, monkeypatch):
    ask, asking, begun = procrastinate.PsycopgConnector.execute_query_one_async, asyncio.Event(), asyncio.Queue()

    async def slowly(connector, query, **arguments):
        answer = await ask(connector, query, **arguments)
        if "procrastinate_fetch_job" in query and answer["id"] is None:
            asking.set()
            await asyncio.sleep(0.3)  # nothing was found, and the answer is on its way
        return answer

    monkeypatch.setattr(procrastinate.PsycopgConnector, "execute_query_one_async", slowly)
    app = procrastinate.App(connector=jobs.connector(database, connections=4, answer_s=10, again_s=3))
    app.task(name="pay")(jobs.with_ids(lambda **arguments: begun.put(arguments)))
    async with app.open_async():
        working = asyncio.create_task(
            app.run_worker_async(fetch_job_polling_interval=POLLED_S, install_signal_handlers=False)
        )
        for number in range(5):
            await deferred(database, number, after=asking)
            arguments = await asyncio.wait_for(begun.get(), POLLED_S / 2)
            assert isinstance(arguments["customer_id"], CustomerId)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def deferred(database, number, *, after):
    """A job, added at the moment when the worker asks: made to ask by one before it."""
    await asyncio.wait_for(after.wait(), POLLED_S)
    after.clear()
    async with database.transaction() as tx:
        await jobs.defer(tx, jobs.Name.PAY, [{"customer_id": f"cus_{number:032x}", "top_up_id": "top_1"}])
