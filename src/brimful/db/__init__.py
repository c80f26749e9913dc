"""PostgreSQL: connections and transactions, migrations, and Citus."""

from brimful.db import citus as citus, columns as columns, migrate as migrate, pool as pool
