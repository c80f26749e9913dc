"""Which objects at Stripe are ours: others may share the account.

Everything that we make there names this installation, by a key that was drawn when the database was migrated. Ours is
what carries that key *and* belongs to a customer that we know, or what our own rows name by its id. Nothing else is
read, booked, canceled or counted against us.
"""

from collections.abc import Mapping

from brimful.db.pool import Database, Tx

NAME = "installation"  # in the metadata of an object at Stripe
_KEY = "SELECT key FROM installation_key"


async def read_key(tx: Tx) -> str:
    """This installation's key. It never changes."""
    row = await tx.one(_KEY)
    assert row is not None
    return str(row["key"])


class Installation:
    """The key, read once per process."""

    def __init__(self) -> None:
        self._key: str | None = None

    async def key(self, database: Database) -> str:
        """The key. Called outside of any other transaction."""
        if self._key is None:
            async with database.transaction() as tx:
                self._key = await read_key(tx)
        return self._key

    async def names_us(self, database: Database, metadata: Mapping[str, str]) -> bool:
        """Whether an object's metadata says that this installation made it."""
        return metadata.get(NAME) == await self.key(database)
