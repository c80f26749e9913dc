"""A fault proxy: TCP in, TCP out, and in between whatever a network can do."""

import asyncio
import contextlib
import random

__all__ = ["FaultProxy"]


class FaultProxy:
    """Forwards one port to another; cuts, stalls or swallows at the rates it is given."""

    def __init__(self, target_port, *, seed):
        self._target = target_port
        self._dice = random.Random(seed)
        self._cut = self._stall = self._mute = 0.0
        self._server = None
        self._tasks = set()
        self.port = None
        self.faults = 0

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def storm(self, *, cut=0.0, stall=0.0, mute=0.0):
        """From now on these shares of what passes are cut, delayed or swallowed."""
        self._cut, self._stall, self._mute = cut, stall, mute

    def calm(self):
        self.storm()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            pair = (writer, there_writer)
            await asyncio.gather(self._pump(reader, there_writer, pair), self._pump(there_reader, writer, pair))
        writer.close()

    async def _pump(self, reader, writer, pair):
        """Bytes one way. A cut loses the rest of both ways; a muted answer never arrives."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                chance = self._dice.random()
                if chance < self._cut:
                    self.faults += 1
                    writer.write(data[: self._dice.randrange(len(data) + 1)])
                    break
                if chance < self._cut + self._stall:
                    self.faults += 1
                    await asyncio.sleep(self._dice.uniform(0.1, 1.5))
                elif chance < self._cut + self._stall + self._mute:
                    self.faults += 1
                    continue
                writer.write(data)
                await writer.drain()
        for one in pair:
            one.close()
