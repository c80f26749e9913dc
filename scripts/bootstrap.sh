#!/bin/sh
# Builds .venv from requirements.lock. Needs python3 (3.11+) with venv; brings uv itself.
set -eu
cd "$(dirname "$0")/.."
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "brimful needs Python 3.11 or newer; found $(python3 --version 2>&1)" >&2; exit 1; }
if [ ! -x .venv/bin/python ]; then
  python3 -m venv .venv 2>/dev/null || {
    rm -rf .venv
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
      echo "python3 cannot make virtual environments here: install python3-venv" >&2; exit 1; }
    echo "installing python3-venv"
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv .venv
  }
fi
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet "uv>=0.9"
install() {
  .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock "$@" &&
    # hatchling builds the links to the sources outside the lock and is not kept.
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable . --editable clients/python "$@"
}
# uv brings certificates of its own; behind a proxy only the system's are right.
install 2>/dev/null || install --system-certs
touch .venv/.ready
