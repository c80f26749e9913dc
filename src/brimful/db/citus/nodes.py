"""Connections to the nodes of a distributed database, each for what lies there.

Every node knows where everything lies, so a statement is right at any of them. At the one that holds the rows nothing
travels, and the coordinator spends nothing. What changes in the cluster is noticed within half a minute; until then a
node passes on what has moved. What is of a node that does not answer goes through the coordinator.
"""

import asyncio
import logging
import time

import psycopg
import psycopg_pool

from brimful.db.citus import shards
from brimful.db.pool import Database

_log = logging.getLogger(__name__)
_AGAIN_S = 30.0
_OPEN_S = 5.0
Address = tuple[str, int]

_WHERE = """
    SELECT s.shardid AS place, n.nodename AS host, n.nodeport AS port
    FROM pg_dist_shard AS s JOIN pg_dist_placement AS p ON p.shardid = s.shardid
    JOIN pg_dist_node AS n ON n.groupid = p.groupid
    WHERE s.logicalrelid = 'accounts'::regclass AND n.groupid <> 0 AND n.noderole = 'primary' AND n.isactive
        AND n.metadatasynced
"""


class NodeConnections:
    """Opened when they are first wanted, in the background: nobody waits for a node that may not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._addresses: dict[int, Address] = {}  # by place
        self._open: dict[Address, Database] = {}
        self._looked_s = -_AGAIN_S
        self._looking: asyncio.Task[None] | None = None

    def holding(self, place: int) -> Database | None:
        """The node that holds a shard; None where there is none, or none that answers."""
        if place == shards.HERE:
            return None
        if self._looking is None and time.monotonic() - self._looked_s > _AGAIN_S:
            self._looking = asyncio.create_task(self._look(), name="nodes")
        return self._open.get(self._addresses.get(place, ("", 0)))

    def drop(self, place: int) -> None:
        """It does not answer, or cannot do this: the next look may open it again."""
        node = self._open.pop(self._addresses.get(place, ("", 0)), None)
        if node is not None:
            self._closing = asyncio.create_task(node.close(), name="node")

    async def close(self) -> None:
        """Close all of them."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for node in self._open.values():
            await node.close()

    async def _look(self) -> None:
        try:
            async with self._database.transaction() as tx:
                rows = await tx.all(_WHERE)
            self._addresses = {row["place"]: (row["host"], row["port"]) for row in rows}
            for address in set(self._addresses.values()) - set(self._open):
                await self._try(address)
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            _log.warning("Where shards lie cannot be read: %s", error)
        finally:
            self._looked_s = time.monotonic()
            self._looking = None

    async def _try(self, address: Address) -> None:
        node, opened = self._database.at(*address), False
        try:
            await node.open(timeout_s=_OPEN_S)
            self._open[address], opened = node, True
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            _log.info("Node %s:%d does not answer, the coordinator posts for it: %s", *address, error)
        finally:
            if not opened:  # also when this process stops meanwhile
                await node.close()
