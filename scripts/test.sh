#!/bin/sh
# Every test on the embedded PostgreSQL 18; the stories again on 16 and on Debian's 15 through DATABASE_URL.
# With DATABASE_URL set (make test DATABASE_URL=...), everything runs on that server instead.
set -eu
cd "$(dirname "$0")/.."
export BRIMFUL_TOOLS="$PWD/.cache/tools"
sh scripts/tools.sh
run() { .venv/bin/python -m pytest -q -n 2 --maxprocesses 2 "$@"; }

if [ -n "${DATABASE_URL:-}" ]; then
  run --postgres url --ignore tests/browser "$@"
  exit 0
fi

echo "== PostgreSQL 18, everything"
run --ignore tests/browser "$@"
echo "== The portal in Chromium"
run tests/browser --dist loadfile --timeout 300 "$@"
echo "== PostgreSQL 16, the stories"
run -m flow --ignore tests/browser --postgres 16 "$@"

bin=/usr/lib/postgresql/15/bin
if [ ! -x $bin/postgres ]; then
  [ -z "${CI:-}" ] || { echo "Debian's PostgreSQL 15 is missing" >&2; exit 1; }
  echo "not run: the stories on PostgreSQL 15 (apt-get install postgresql-15)"
  exit 0
fi
echo "== PostgreSQL 15 through DATABASE_URL, the stories"
# Not in the checkout: under root the server's user could not enter it.
home=$(mktemp -d /tmp/brimful-pg15-XXXXXX)
as=""
if [ "$(id -u)" = 0 ]; then chown postgres "$home"; as="setpriv --reuid=postgres --regid=postgres --clear-groups"; fi
trap '$as $bin/pg_ctl -D "$home/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$home"' EXIT
cd /
$as $bin/initdb -D "$home/data" -U brimful --auth=trust -E UTF8 --locale=C >/dev/null
$as $bin/pg_ctl -D "$home/data" -w -l "$home/log" \
  -o "-k $home -c listen_addresses='' -c max_connections=200 -c fsync=off -c synchronous_commit=off -c full_page_writes=off" start >/dev/null
cd - >/dev/null
chmod 755 "$home"
DATABASE_URL="postgresql://brimful@/postgres?host=$home" run -m flow --ignore tests/browser --postgres url "$@"
