"""Citus: which nodes there are, which table goes where, in which shard a customer lies, and the way to each node."""

from brimful.db.citus import cluster as cluster, distribute as distribute, nodes as nodes, shards as shards
