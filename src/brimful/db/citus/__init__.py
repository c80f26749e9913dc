"""Citus: which nodes there are, which table goes where, in which shard a customer lies."""

from brimful.db.citus import cluster as cluster, distribute as distribute, shards as shards
