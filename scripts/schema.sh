#!/bin/sh
# Writes src/brimful/db/schema.sql anew from all migrations: run it after adding one.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python - <<'PY'
import pathlib, sys, tempfile
sys.path.insert(0, "tests")
from brimful import db, runtime
from schema.test_schema import COMMITTED, dumped
directory = runtime.embedded_postgres.DataDirectory(pathlib.Path(tempfile.mkdtemp()) / "data").open(version="18")
directory.lock()
server = runtime.embedded_postgres.Server(directory)
server.start()
try:
    db.migrate.apply(server.url())
    COMMITTED.write_text(dumped(server.url()))
finally:
    server.stop()
    directory.unlock()
    directory.remove()
PY
