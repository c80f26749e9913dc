"""Processes: serving, everything on one machine, the embedded PostgreSQL."""

from brimful.runtime import embedded_postgres as embedded_postgres, local as local, ports as ports, serve as serve
