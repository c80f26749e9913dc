"""The reference: PostgreSQL's own pgbench, one debit per commit on our tables, indexes and look-up of the key."""

import pathlib
import re
import subprocess
import tempfile

import psycopg.conninfo

from brimful import runtime
from brimful.dev.bench.ground import Testbed, Times

CLIENTS = 16

# Its mac is a constant: it has no key, and nothing here verifies.
_DEBIT = r"""
\set n random({first}, {last})
\set k random(1, 9000000000000)
BEGIN;
SELECT balance, seq, mac, trigger_below FROM accounts
    WHERE customer_id = lpad(:n, 32, '0')::uuid AND asset = 'USD' FOR NO KEY UPDATE;
SELECT 1 FROM entries WHERE customer_id = lpad(:n, 32, '0')::uuid AND key_digest = :k;
WITH moved AS (
    UPDATE accounts SET balance = balance - 0.5, seq = seq + 1, mac = '\x0000000000000000000000000000000000'
    WHERE customer_id = lpad(:n, 32, '0')::uuid AND asset = 'USD' RETURNING seq, balance)
INSERT INTO entries (customer_id, seq, key_digest, recorded_at, asset, kind, source, amount, balance_after,
    key, mac)
SELECT lpad(:n, 32, '0')::uuid, seq, :k, now(), 'USD', 'usage', 'usage', -0.5, balance, 'p' || :k,
    '\x0000000000000000000000000000000000' FROM moved;
COMMIT;
"""


def debits(ground: Testbed, *, first: int, last: int, seconds: int) -> tuple[float, Times]:
    """Debits per second of `CLIENTS` prepared clients on the accounts `first` to `last`, and the time of each."""
    program = runtime.embedded_postgres.program(ground.directory.postgres, "pgbench")
    parts = psycopg.conninfo.conninfo_to_dict(ground.url)
    with tempfile.TemporaryDirectory(prefix="brimful-pgbench-") as scratch:
        script = pathlib.Path(scratch) / "debit.sql"
        script.write_text(_DEBIT.replace("{first}", str(first)).replace("{last}", str(last)))
        done = subprocess.run(  # noqa: S603 - the wheel's own program
            [str(program), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-l",
             "--log-prefix", f"{scratch}/log", "-f", str(script), "-h", str(parts["host"]), "-U", str(parts["user"]),
             str(parts["dbname"])],
            capture_output=True, text=True, check=False, env={"PGPASSWORD": str(parts["password"])},
        )  # fmt: skip
        found = re.search(r"tps = ([0-9.]+)", done.stdout)
        assert found is not None, done.stderr
        spent = [
            int(line.split()[2]) / 1000
            for log in pathlib.Path(scratch).glob("log*")
            for line in log.read_text().splitlines()
        ]
    return float(found.group(1)), Times.of(spent)
