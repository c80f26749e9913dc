"""Epochs: whether the database is the one it was, and has not gone back in time.

A restore or a failover may lose rows of payments that Stripe has made. Three witnesses tell: the cluster's identity
and timeline; a process that saw a later beat; and a file outside the database (`BRIMFUL_EPOCH_FILE`) that keeps the
latest. Any of them holds charging until reconciliation has run.
"""

import datetime as dt
import logging
import os
import pathlib

from brimful import charging
from brimful.db import Tx

__all__ = ["Witness", "went_back_from"]

_log = logging.getLogger(__name__)

_BEAT = """
    UPDATE epochs SET beat = greatest(beat, %(least)s) + 1, beat_at = clock_timestamp(),
        epoch = epoch + %(later)s, system_identifier = %(system)s, timeline = %(timeline)s,
        went_back_from = CASE WHEN %(later)s > 0 THEN coalesce(went_back_from, beat_at) ELSE went_back_from END
    RETURNING beat
"""
_READ = """
    SELECT e.beat, e.beat_at, e.system_identifier, e.timeline, s.system_identifier AS system_now,
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline_now
    FROM epochs AS e, pg_control_system() AS s
    FOR NO KEY UPDATE OF e
"""


class Witness:
    """Remembers the latest beat, in this process and in a file if there is one."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else pathlib.Path(path)
        self._latest = self._pending = 0

    async def beat(self, tx: Tx) -> str | None:
        """Note that time goes on. Returns why charging is held now, if the database is not what it was."""
        # The file first: whoever shares it may beat meanwhile, and its row is then read at least as new as its file.
        latest = max(self._latest, self._kept())
        row = await tx.one(_READ)
        assert row is not None
        reason = None
        if row["system_identifier"] not in {None, row["system_now"]}:
            reason = "the database is another one than before"
        elif row["timeline"] not in {None, row["timeline_now"]}:
            reason = f"the database was restored or failed over (timeline {row['timeline']} to {row['timeline_now']})"
        elif row["beat"] < latest:
            reason = f"the database went back in time (beat {row['beat']} after {latest})"
        if reason is not None:
            await charging.hold(tx, "restore", f"{reason}: payments are compared with Stripe first", actor="engine")
        values = {"least": latest, "later": int(reason is not None), "system": row["system_now"],
                  "timeline": row["timeline_now"]}  # fmt: skip
        beaten = await tx.one(_BEAT, values)
        assert beaten is not None
        self._pending = beaten["beat"]
        return reason

    def committed(self) -> None:
        """The beat is in the database: keep it."""
        self._latest = self._pending
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._path.with_suffix(f".{os.getpid()}")
                fresh.write_text(f"{self._latest}\n")
                fresh.replace(self._path)
            except OSError as error:  # no reason to stop, but nobody would notice a restore
                _log.error("BRIMFUL_EPOCH_FILE cannot be written, a restore would go unnoticed: %s", error)

    def _kept(self) -> int:
        if self._path is None:
            return 0
        try:
            text = self._path.read_text().strip()
        except OSError:
            return 0
        return int(text) if text.isascii() and text.isdigit() else 0


async def went_back_from(tx: Tx) -> dt.datetime | None:
    """The last moment that the database remembers from before it went back; None when it has not."""
    row = await tx.one("SELECT went_back_from FROM epochs")
    return None if row is None else row["went_back_from"]
