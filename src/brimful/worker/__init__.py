"""The background worker: its queue of jobs, and what it does again and again."""

from brimful.worker import periodic as periodic, queue as queue
