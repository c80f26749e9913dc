#!/bin/sh
# Writes src/brimful/db/schema.sql anew from all migrations: run it after adding one.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python - <<'PY'
import pathlib, sys, tempfile
sys.path.insert(0, "tests")
from brimful.db import embedded, migrate
from schema.test_schema import COMMITTED, dumped
directory = embedded.DataDirectory(pathlib.Path(tempfile.mkdtemp()) / "data").open(version="18")
directory.lock()
server = embedded.Server(directory)
server.start()
try:
    migrate.apply(server.url())
    COMMITTED.write_text(dumped(server.url()))
finally:
    server.stop()
    directory.unlock()
    directory.remove()
PY
