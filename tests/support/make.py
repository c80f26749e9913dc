"""Small things that several tests make."""

from brimful import keys
from brimful.db import Database


async def api_key(house, *, scopes):
    """An API key with just these scopes."""
    database = Database(house.database_url, "brimful_api")
    await database.open()
    try:
        async with database.transaction() as tx:
            return await keys.create(tx, name="narrow", scopes=scopes)
    finally:
        await database.close()
