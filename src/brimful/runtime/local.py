"""Everything on one machine: the embedded database, the sandbox, the applications and the worker, as children that
die with their parent.
"""

import contextlib
import dataclasses
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import httpx

from brimful import db, settings
from brimful.core.errors import ConfigurationError
from brimful.runtime import embedded_postgres, ports

_log = logging.getLogger(__name__)
_HOST = "127.0.0.1"
_READY_S = 60
_STOP_S = 30
_EPOCH = "epoch"
_BEHIND = 5  # nice(2): how far worker and sandbox stand behind


@dataclasses.dataclass
class Running:
    """What `up` started."""

    url: str
    sandbox_url: str
    api_key: str
    database_url: str  # past any pooler
    environment: Mapping[str, str]
    children: dict[str, subprocess.Popen[bytes]]

    def dead(self) -> str | None:
        """Name of a child that has ended by itself."""
        return next((name for name, child in self.children.items() if child.poll() is not None), None)


@contextlib.contextmanager
def up(
    path: pathlib.Path,
    *,
    port: int,
    sandbox_port: int = 0,
    extra: Mapping[str, str] | None = None,
    quiet: bool = False,
    database_url: str | None = None,
) -> Iterator[Running]:
    """Start everything on a data directory; stop it all at the end.

    Args:
        path: the data directory, made if it is new. Beside `database_url` it has the keys and the sandbox's books.
        port: of API and portal; 0 picks a free one.
        sandbox_port: of the sandbox, the same.
        extra: settings that differ from the defaults, by environment name.
        quiet: children log to files in the directory only.
        database_url: the environment's database, instead of an embedded one.

    Raises:
        ConfigurationError: the directory is not ours or in use, the database holds books that it did not sign, the
            port is taken, a child does not start.
    """
    directory = embedded_postgres.DataDirectory(path)
    directory.open(version=settings.environment.embedded_version())
    if not directory.lock():
        raise ConfigurationError(f"{directory.path} is in use by another running Brimful: stop that one first.")
    server: embedded_postgres.Server | None = None
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        port = ports.require_free(_HOST, port)
        if database_url is None:
            server = embedded_postgres.Server(directory)
            server.start()
            database_url = server.url()
        _require_ours(database_url, directory.path)
        db.migrate.apply(database_url)
        url, sandbox_url = f"http://{_HOST}:{port}", f"http://{_HOST}:{ports.require_free(_HOST, sandbox_port)}"
        environment = environment_for(directory, server, url=url, sandbox_url=sandbox_url, extra=extra or {})
        log = None if not quiet else directory.path / "brimful.log"
        state = str(directory.path / "sandbox.db")
        children["sandbox"] = _spawn(
            ["sandbox", "--port", sandbox_url.rpartition(":")[2], "--state", state], environment, log
        )
        _wait_until_answers(f"{sandbox_url}/sandbox/switches", children)
        children["serve"] = _spawn(_serve(port), environment, log)
        children["worker"] = _spawn(["worker"], environment, log)
        _wait_until_answers(f"{url}/healthz", children)
        yield Running(url, sandbox_url, environment["BRIMFUL_API_KEY"], database_url, environment, children)
    finally:
        _stop(children)
        if server is not None:
            server.stop()
        directory.unlock()


def _require_ours(database_url: str, directory: pathlib.Path) -> None:
    """The keys that signed a database's books lie beside them: another directory's could not verify them."""
    if not (directory / _EPOCH).exists() and db.migrate.has_customers(database_url):
        raise ConfigurationError(
            f"DATABASE_URL names a database that has customers, and {directory} is not where its keys lie: name an "
            "empty database, or the directory that it was begun with."
        )


@contextlib.contextmanager
def serving(environment: Mapping[str, str], *, log: pathlib.Path) -> Iterator[str]:
    """The API and the portal alone, on a free port; the address."""
    url = f"http://{_HOST}:{ports.require_free(_HOST, 0)}"
    environment = {**environment, "BRIMFUL_PUBLIC_URL": url}
    children = {"serve": _spawn(_serve(int(url.rpartition(":")[2])), environment, log)}
    try:
        _wait_until_answers(f"{url}/healthz", children)
        yield url
    finally:
        _stop(children)


def environment_for(
    directory: embedded_postgres.DataDirectory,
    server: embedded_postgres.Server | None,
    *,
    url: str,
    sandbox_url: str,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Settings of the children: the directory's secrets, the addresses, what the user set, and `extra`. Without a
    server of ours the database is the user's DATABASE_URL.
    """
    secrets = directory.secrets()
    defaults = {
        **({} if server is None else {"DATABASE_URL": server.url(), "DATABASE_URL_DIRECT": ""}),
        "BRIMFUL_API_KEY": settings.environment.preset_api_key() or secrets["api_key"],
        "BRIMFUL_LEDGER_KEYS": secrets["ledger_keys"],
        "BRIMFUL_PUBLIC_URL": url,
        "BRIMFUL_LOG_LEVEL": "WARNING",
        # The sandbox beside us has no rates to keep to; Stripe's are the defaults elsewhere.
        "BRIMFUL_STRIPE_RATE": "1000",
        "BRIMFUL_STRIPE_ENDPOINT_RATE": "1000",
        "BRIMFUL_EPOCH_FILE": str(directory.path / _EPOCH),
        "STRIPE_API_KEY": secrets["stripe_key"],
        "STRIPE_API_URL": sandbox_url,
        "STRIPE_CHECKOUT_URL": sandbox_url,
        "STRIPE_WEBHOOK_SECRET": secrets["stripe_webhook_secret"],
    }
    return settings.environment.child_environment({**defaults, **extra})


def _serve(port: int) -> list[str]:
    """On this machine one listener is enough, for console and metrics too."""
    return ["serve", "--port", str(port), "--internal-port", str(port)]


def _spawn(arguments: list[str], environment: Mapping[str, str], log: pathlib.Path | None) -> subprocess.Popen[bytes]:
    """A child of our own program, in its own session so that Ctrl-C reaches the parent alone.

    The API goes first where processors are few: a caller waits for it, and for nobody else.
    """
    output = None if log is None else log.open("ab")
    niceness = 0 if arguments[0] == "serve" else _BEHIND

    def begin() -> None:
        embedded_postgres.die_with_parent(signal.SIGTERM)
        os.nice(niceness)

    try:
        return subprocess.Popen(
            [sys.executable, "-m", "brimful", *arguments],
            env={**environment, "BRIMFUL_PARENT_PID": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=begin,
        )
    finally:
        if output is not None:
            output.close()


def _wait_until_answers(url: str, children: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        for name, child in children.items():
            if child.poll() is not None:
                raise ConfigurationError(f"{name} ended with status {child.returncode}; its log says why.")
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(url, timeout=2)
            return
        time.sleep(0.1)
    raise ConfigurationError(f"{url} does not answer after {_READY_S} s.")


def _stop(children: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """The API first, then the worker, the sandbox last: nothing calls a process that is gone."""
    for name in ("serve", "worker", "sandbox"):
        child = children.get(name)
        if child is None or child.poll() is not None:
            continue
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            _log.warning("%s does not stop; killing it", name)
            child.kill()
            child.wait()
