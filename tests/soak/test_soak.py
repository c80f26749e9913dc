"""The soak in short: `make soak MINUTES=10` is the real one."""

import json
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.timeout(400)
def test_some_seconds_of_everything_going_wrong(tmp_path):
    """F6, F24, F25: kill -9, database restarts, a bad network; nothing lost, nothing doubled, the books agree."""
    script = pathlib.Path(__file__).parent / "run.py"
    arguments = [sys.executable, str(script), "0.12", str(tmp_path / "soak.json"), "small"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "soak.json").read_text())
    assert (result["lost"], result["doubled"], result["paid_twice"]) == (0, 0, 0)
    assert result["kills"] > 1
