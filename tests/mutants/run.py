"""`make mutants`: takes guards out, one at a time, in a copy of the tree, and sees a test fail for each.

Exit status 0 only if every guard that the fault list names dies, and 95 % of the others.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from mutants.guards import GUARDS

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT_S = 240
_SHARE = 0.95


def copied(folder):
    for name in ("src", "tests", "docs", "scripts", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)


def mutated(folder, mutant):
    """The guard taken out of the copy; says so if it does not stand there exactly once."""
    path = folder / mutant.file
    text = path.read_text()
    count = text.count(mutant.old)
    if count != 1:
        return f"its text stands {count} times in {mutant.file}"
    path.write_text(text.replace(mutant.old, mutant.new))
    return None


def tried(mutant):
    """(verdict, what was seen): `dies`, `survives` or `stale`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="brimful-mutant-"))
    try:
        copied(folder)
        stale = mutated(folder, mutant)
        if stale is not None:
            return "stale", stale
        for judge in mutant.judges:
            if failed(folder, judge):
                return "dies", judge
        return "survives", ", ".join(mutant.judges)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def failed(folder, *judges, timeout_s=TIMEOUT_S):
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *judges]
    if len(judges) > 1:
        arguments += ["-n", "2"]
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    # 1: a test failed. 2 to 5: pytest itself could not run what it was asked to, which proves nothing.
    if done.returncode > 1 and "error" not in done.stdout:
        raise SystemExit(f"{judges}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode != 0


def fails_whole(mutants):
    """Whether a judge fails with every guard in place: what it says would prove nothing."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="brimful-mutant-"))
    try:
        copied(folder)
        return failed(folder, *sorted({judge for mutant in mutants for judge in mutant.judges}), timeout_s=900)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(only="", processes="2"):
    chosen = [mutant for mutant in GUARDS if only.lower() in f"{mutant.row} {mutant.name} {mutant.file}".lower()]
    started = time.monotonic()
    if fails_whole(chosen):
        print("a judge fails with every guard in place: run the tests first")
        return 1
    with concurrent.futures.ThreadPoolExecutor(int(processes)) as pool:
        results = []
        for mutant, (verdict, seen) in zip(chosen, pool.map(tried, chosen), strict=True):
            results.append((mutant, (verdict, seen)))
            print(f"{verdict:<9} {mutant.row:<14} {mutant.name:<58} {seen.rpartition('::')[2] or seen}", flush=True)
    named = [verdict for mutant, (verdict, _) in results if mutant.named]
    others = [verdict for mutant, (verdict, _) in results if not mutant.named]
    print(f"\n{named.count('dies')} of {len(named)} named guards die, {others.count('dies')} of {len(others)} others, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    whole = named.count("dies") == len(named) and others.count("dies") >= _SHARE * len(others)
    return 0 if whole and results else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
