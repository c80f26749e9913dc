"""HTTP load from wrk: it takes less of the machine than a client in Python, which would measure itself."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from brimful.core.errors import ConfigurationError
from brimful.dev.bench.ground import Times

_SCRIPT = """
local threads = 0
function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end
function init(args)
  run, accounts, size, sent = args[1], tonumber(args[2]), tonumber(args[3]), 0
  math.randomseed(place * 7919 + os.time())
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[4]
end
local function event()
  sent = sent + 1
  return string.format('{"id":"%s-%d-%d","customer_id":"cus_%032d","asset":"USD","amount":"0.5"}',
    run, place, sent, math.random(1, accounts))
end
function request()
  if size == 1 then return wrk.format(nil, nil, nil, event()) end
  local events = {}
  for i = 1, size do events[i] = event() end
  return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(events, ",") .. "]}")
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n@{"requests":%d,"us":%d,"p50":%.3f,"p99":%.3f,"status":%d,"broken":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclasses.dataclass(frozen=True)
class Load:
    """What wrk saw: answers a second, their times, and how many were no success (`refused`) or no answer (`broken`)."""

    requests: int
    requests_per_s: float
    times: Times
    refused: int
    broken: int


def wrk(url: str, api_key: str, *, connections: int, accounts: int, per_request: int, seconds: int) -> Load:
    """Send usage over so many connections, each with one request at a time.

    Raises:
        ConfigurationError: wrk is not installed.
    """
    program = shutil.which("wrk")
    if program is None:
        raise ConfigurationError("wrk is missing: `sh scripts/tools.sh` installs it on Debian.")
    with tempfile.TemporaryDirectory(prefix="brimful-wrk-") as scratch:
        script = pathlib.Path(scratch) / "usage.lua"
        script.write_text(_SCRIPT)
        done = subprocess.run(  # noqa: S603 - Debian's program
            [program, "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s",
             "-s", str(script), f"{url}/v1/usage", "--", os.urandom(4).hex(), str(accounts), str(per_request), api_key],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    [line] = [line[1:] for line in done.stdout.splitlines() if line.startswith("@")]
    seen = json.loads(line)
    rate = seen["requests"] / (seen["us"] / 1_000_000)
    return Load(seen["requests"], rate, Times(seen["p50"], seen["p99"]), seen["status"], seen["broken"])
