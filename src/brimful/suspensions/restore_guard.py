"""The restore guard: notices that the database went back in time, or is another one than before.

A restore or a failover may lose rows of payments that Stripe has made. Three records show it: the cluster's identity
and timeline; a process that saw a later heartbeat; and a file outside the database (`BRIMFUL_EPOCH_FILE`) that keeps
the latest. Any of them suspends charging until reconciliation has run.
"""

import datetime as dt
import logging
import os
import pathlib

from brimful.db.pool import Tx
from brimful.suspensions import store

_log = logging.getLogger(__name__)

_HEARTBEAT = """
    UPDATE restore_guard SET heartbeat = greatest(heartbeat, %(least)s) + 1, heartbeat_at = clock_timestamp(),
        epoch = epoch + %(later)s, system_identifier = %(system)s, timeline = %(timeline)s,
        restored_to = CASE WHEN %(later)s > 0 THEN coalesce(restored_to, heartbeat_at) ELSE restored_to END
    RETURNING heartbeat
"""
_READ = """
    SELECT e.heartbeat, e.heartbeat_at, e.system_identifier, e.timeline, s.system_identifier AS system_now,
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline_now
    FROM restore_guard AS e, pg_control_system() AS s
    FOR NO KEY UPDATE OF e
"""


class RestoreDetector:
    """Remembers the latest heartbeat in this process, and in a file if one is configured."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else pathlib.Path(path)
        self._latest = self._pending = 0

    async def heartbeat(self, tx: Tx) -> str | None:
        """Record a heartbeat. Returns why charging is suspended now, if the database is not what it was."""
        # The file first: another process may write it meanwhile, and the row is then read at least as new as the file.
        latest = max(self._latest, self._kept())
        row = await tx.one(_READ)
        assert row is not None
        reason = None
        if row["system_identifier"] not in {None, row["system_now"]}:
            reason = "the database is another one than before"
        elif row["timeline"] not in {None, row["timeline_now"]}:
            reason = f"the database was restored or failed over (timeline {row['timeline']} to {row['timeline_now']})"
        elif row["heartbeat"] < latest:
            reason = f"the database went back in time (heartbeat {row['heartbeat']} after {latest})"
        if reason is not None:
            await store.suspend(tx, "restore", f"{reason}: payments are compared with Stripe first", actor="engine")
        values = {
            "least": latest,
            "later": int(reason is not None),
            "system": row["system_now"],
            "timeline": row["timeline_now"],
        }
        beaten = await tx.one(_HEARTBEAT, values)
        assert beaten is not None
        self._pending = beaten["heartbeat"]
        return reason

    def committed(self) -> None:
        """Keep the heartbeat, now that it is in the database."""
        self._latest = self._pending
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._path.with_suffix(f".{os.getpid()}")
                fresh.write_text(f"{self._latest}\n")
                fresh.replace(self._path)
            except OSError as error:  # no reason to stop, but a restore would go unnoticed
                _log.error("BRIMFUL_EPOCH_FILE cannot be written, a restore would go unnoticed: %s", error)

    def _kept(self) -> int:
        if self._path is None:
            return 0
        try:
            text = self._path.read_text().strip()
        except OSError:
            return 0
        return int(text) if text.isascii() and text.isdigit() else 0


async def restored_to(tx: Tx) -> dt.datetime | None:
    """The last moment that the database remembers from before it went back; None when it has not."""
    row = await tx.one("SELECT restored_to FROM restore_guard")
    return None if row is None else row["restored_to"]


_RECONCILED = "UPDATE restore_guard SET reconciled_at = %s, restored_to = NULL"


async def reconciled(tx: Tx) -> None:
    """Note that everything was compared with Stripe, as of now."""
    await tx.execute(_RECONCILED, (await tx.now(),))
