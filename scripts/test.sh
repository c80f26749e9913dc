#!/bin/sh
# Every test on the embedded PostgreSQL 18; the stories again on Debian's 15 through DATABASE_URL, some of them on 16.
# With DATABASE_URL set (make test DATABASE_URL=...), everything runs on that server instead.
set -eu
cd "$(dirname "$0")/.."
export BRIMFUL_TOOLS="$PWD/.cache/tools"
sh scripts/tools.sh
run() {  # WORKERS ARGUMENTS: each worker has a PostgreSQL of its own and waits for processes half of its time
  workers=$1; shift
  spread="-n $workers --dist worksteal"
  [ "$workers" != 0 ] || spread="-n 0"
  .venv/bin/python -m pytest -q $spread "$@"
}
many=$(( 2 * $(nproc) )); [ "$many" -le 8 ] || many=8

if [ -n "${DATABASE_URL:-}" ]; then
  make --no-print-directory check
  run "$many" --postgres url --ignore tests/browser "$@"
  exit 0
fi

bin=/usr/lib/postgresql/15/bin
if [ ! -x $bin/postgres ] && [ -n "${CI:-}" ]; then
  echo "Debian's PostgreSQL 15 is missing" >&2
  exit 1
fi
# Not in the checkout: under root the server's user could not enter it.
home=$(mktemp -d /tmp/brimful-test-XXXXXX)
as=""
trap '[ ! -d "$home/data" ] || $as $bin/pg_ctl -D "$home/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$home"' EXIT

on_15() {
  if [ ! -x $bin/postgres ]; then
    echo "not run: the stories on PostgreSQL 15 (apt-get install postgresql-15)"
    return 0
  fi
  DATABASE_URL="postgresql://brimful@/postgres?host=$home" run 0 -m flow $stories --postgres url "$@"
}
if [ -x $bin/postgres ]; then
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$home"
    as="setpriv --reuid=postgres --regid=postgres --clear-groups"
  fi
  (cd / && $as $bin/initdb -D "$home/data" -U brimful --auth=trust -E UTF8 --locale=C >/dev/null &&
    $as $bin/pg_ctl -D "$home/data" -w -l "$home/log" -o "-k $home -c listen_addresses='' -c max_connections=200 \
      -c fsync=off -c synchronous_commit=off -c full_page_writes=off" start >/dev/null)
  chmod 755 "$home"
fi

# All beside one another: each waits for its browser, its servers and its clocks half of the time.
stories=$(grep -rl --include='*.py' 'pytest.mark.flow' tests)  # to collect all of tests/ takes longer than some of them
(make --no-print-directory check) >"$home/check.out" 2>&1 & check=$!
(run 0 tests/browser --timeout 300 "$@") >"$home/browser.out" 2>&1 & browser=$!
(run 0 -m flow $stories --postgres 16 "$@" && on_15 "$@") >"$home/older.out" 2>&1 & older=$!
failed=0
echo "== PostgreSQL 18, everything"
run "$many" --ignore tests/browser "$@" || failed=1
wait $check || failed=1
echo "== make check"; cat "$home/check.out"
wait $browser || failed=1
echo "== The portal in Chromium"; cat "$home/browser.out"
wait $older || failed=1
echo "== The stories on PostgreSQL 16, and on 15 through DATABASE_URL"; cat "$home/older.out"
exit $failed
