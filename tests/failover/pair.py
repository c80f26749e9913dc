"""Two PostgreSQL of the wheel, one streaming to the other: kill the first, promote the second, take the first back.

By the wheel's own programs (pg_basebackup, pg_ctl promote, pg_rewind). What Patroni does with two machines
(docs/scale.md), this does with two directories: after a promotion the new primary serves alone, until the old one
follows it and is synchronous again.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import time

import psycopg
import psycopg.conninfo

from brimful import runtime

_OPTIONS = {
    **runtime.embedded_postgres._OPTIONS, "shared_buffers": "256MB", "max_wal_senders": "8",
    "hot_standby": "on", "wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "100ms",
}  # fmt: skip


@dataclasses.dataclass
class Node:
    """One server: its files, its socket, and its process while it runs."""

    name: str
    home: pathlib.Path
    password: str
    process: subprocess.Popen | None = None

    @property
    def data(self):
        return self.home / "data"

    def url(self, database="brimful"):
        return psycopg.conninfo.make_conninfo(
            "", host=str(self.home), port="5432", user="brimful", password=self.password, dbname=database
        )

    def run(self, program, *arguments):
        done = subprocess.run(
            [str(runtime.embedded_postgres.program("18", program)), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": self.password},
            **runtime.embedded_postgres._owner().popen(),
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def start(self):
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(runtime.embedded_postgres.program("18", "postgres")),
                    "-D",
                    str(self.data),
                    "-k",
                    str(self.home),
                    *options,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=lambda: runtime.embedded_postgres.die_with_parent(signal.SIGQUIT),
                **runtime.embedded_postgres._owner().popen(),
            )
        self.until(lambda: self.ask("SELECT true") == (True,))

    def kill(self):
        """kill -9 of the server and of each of its processes, one that is stopped too."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def ask(self, query):
        """The first row, or None when nobody answers."""
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=2) as connection:
                cursor = connection.execute(query)
                return cursor.fetchone() if cursor.description else ()
        except psycopg.OperationalError:
            return None

    def tail(self):
        return "".join((self.home / "log").read_text(errors="replace").splitlines(keepends=True)[-30:])

    def until(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.name}: it did not happen:\n{self.head()}"
            time.sleep(0.02)


class Pair:
    """The two, and who is primary."""

    def __init__(self, home, password, *, synchronous):
        self.home = home
        self.synchronous = synchronous
        self.nodes = [Node(name, home / name, password) for name in ("one", "two")]
        self.primary, self.standby = self.nodes

    def start(self):
        owner = runtime.embedded_postgres._owner()
        for node in self.nodes:
            node.home.mkdir(parents=True)
            node.home.chmod(0o700)
            if owner.uid is not None:
                os.chown(node.home, owner.uid, owner.gid)
        for parent in self.home.parents:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
        self.home.chmod(0o755)
        first = self.primary
        secret = first.home / "password"
        secret.write_text(first.password)
        if owner.uid is not None:
            os.chown(secret, owner.uid, owner.gid)
        first.run("initdb", "-D", str(first.data), "--username=brimful", "--auth=scram-sha-256", f"--pwfile={secret}",
                  "--data-checksums", "--encoding=UTF8", "--locale=C")  # fmt: skip
        with (first.data / "postgresql.conf").open("a") as configured:
            configured.write("wal_keep_size = 512MB\n")  # in the file: pg_rewind recovers by it
        first.start()
        first.ask("CREATE DATABASE brimful")
        self.standby.run("pg_basebackup", "-D", str(self.standby.data), "-X", "stream", "-c", "fast", "-d",
                         first.url("postgres"))  # fmt: skip
        self._follow()

    def stop(self):
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                if node.process is not None:
                    node.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def url(self):
        """Whichever is primary: libpq asks both."""
        hosts = ",".join(str(node.home) for node in self.nodes)
        return psycopg.conninfo.make_conninfo(
            "", host=hosts, port="5432,5432", user="brimful", password=self.primary.password, dbname="brimful",
            target_session_attrs="read-write", connect_timeout="2",
        )  # fmt: skip

    def fail_over(self):
        """The primary is dead: the standby takes over, and serves alone."""
        self.primary, self.standby = self.standby, self.primary
        self.primary.run("pg_ctl", "promote", "-D", str(self.primary.data), "-w")
        self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.ask("SELECT pg_reload_conf()")

    def take_back(self):
        """The one that died follows the new primary: what it has written and nobody else has is undone."""
        old = self.standby
        self.primary.ask("CHECKPOINT")  # or its control file still tells the old timeline
        # It recovers the old one from its crash by itself, where nobody can reach it.
        old.run("pg_rewind", "-D", str(old.data), "--source-server", self.primary.url("postgres"))
        self._follow()

    def _follow(self):
        configured = self.standby.data / "postgresql.auto.conf"
        source = self.primary.url("postgres").replace("'", "''")
        configured.write_text(f"primary_conninfo = '{source}'\n")
        signal_file = self.standby.data / "standby.signal"
        signal_file.touch()
        owner = runtime.embedded_postgres._owner()
        if owner.uid is not None:
            for path in (configured, signal_file):
                os.chown(path, owner.uid, owner.gid)
        self.standby.start()
        self.primary.until(lambda: self.primary.ask("SELECT true FROM pg_stat_replication WHERE state = 'streaming'"))
        if self.synchronous:
            self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.primary.ask("SELECT pg_reload_conf()")
            self.primary.until(
                lambda: self.primary.ask("SELECT true FROM pg_stat_replication WHERE sync_state = 'sync'")
            )

    def stall(self):
        """From now on nothing is sent to the standby: a network that is away."""
        (senders,) = self.primary.ask("SELECT array_agg(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'")
        for pid in senders or ():
            os.kill(pid, signal.SIGSTOP)
