#!/bin/sh
# Tools that only the tests need: Debian's PostgreSQL 15, Chromium and node, Go's stripe-mock. Under CI their absence fails.
set -u
cd "$(dirname "$0")/.."
mkdir -p .cache/tools
if [ ! -x /usr/lib/postgresql/15/bin/postgres ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing postgresql-15 for the tests"
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-15; } >.cache/tools/apt.log 2>&1 \
    || tail -3 .cache/tools/apt.log
fi
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing chromium for the browser stories"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >.cache/tools/chromium.log 2>&1 \
    || tail -3 .cache/tools/chromium.log
fi
if ! command -v wrk >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing wrk for the measurements"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends wrk; } >.cache/tools/wrk.log 2>&1 \
    || tail -3 .cache/tools/wrk.log
fi
if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing node for the TypeScript example"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; } >.cache/tools/node.log 2>&1 \
    || tail -3 .cache/tools/node.log
fi
if [ ! -x .cache/tools/stripe-mock ] && command -v go >/dev/null; then
  echo "installing stripe-mock for the tests"
  GOBIN="$PWD/.cache/tools" GOFLAGS=-modcacherw go install github.com/stripe/stripe-mock@v0.203.0 >.cache/tools/go.log 2>&1 \
    || tail -3 .cache/tools/go.log
fi
[ -x .cache/tools/stripe-mock ] || echo "not run: requests against official stripe-mock (it needs Go)"
exit 0
