"""The failover lab in short: `make failover-lab ROUNDS=50` is the real one."""

import json
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.timeout(240)
def test_the_primary_dies_under_load_and_nothing_acknowledged_is_lost(tmp_path):
    """F25, F26, F44, I6: kill -9, promotion, pg_rewind; charging is suspended until the books were compared."""
    script = pathlib.Path(__file__).parent / "lab.py"
    command = [sys.executable, str(script), "1", str(tmp_path / "lab.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "lab.json").read_text())
    assert (result["lost"], result["doubled"], result["paid_twice"]) == (0, 0, 0)
    assert (result["kills"], result["drift"]["charged"]) == (1, 0)
    assert result["charging_held_and_reconciled"] == 1
