"""The database room: connections and transactions, migrations, and the embedded server."""

from brimful.db.pool import Database, Query, Row, Tx

__all__ = ["Database", "Query", "Row", "Tx"]
