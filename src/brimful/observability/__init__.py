"""Logs, metrics and traces."""

from brimful.observability import logging as logging, metrics as metrics, tracing as tracing
