#!/bin/sh
# Tools that look at what we depend on, in an environment of their own: .cache/supply, from scripts/supply.lock.
set -eu
cd "$(dirname "$0")/.."
[ .cache/supply/.ready -nt scripts/supply.lock ] && exit 0
.venv/bin/uv venv --quiet --clear .cache/supply
install() { .venv/bin/uv pip sync --quiet --python .cache/supply/bin/python --require-hashes scripts/supply.lock "$@"; }
# uv brings certificates of its own; behind a proxy only the system's are right.
install 2>/dev/null || install --system-certs
touch .cache/supply/.ready
