"""The mutation gate in short: every guard's text stands where it is looked for, and a few are taken out."""

import pytest

from mutants import guards, run

QUICK = ("keys are read after the lock", "the limit")


@pytest.mark.parametrize("mutant", guards.GUARDS, ids=lambda mutant: f"{mutant.row} {mutant.name}")
def test_each_guard_stands_where_the_gate_looks(mutant):
    assert (run.ROOT / mutant.file).read_text().count(mutant.old) == 1


@pytest.mark.parametrize("name", QUICK)
def test_without_it_a_test_fails(name):
    [mutant] = [one for one in guards.GUARDS if one.name == name]
    assert run.tried(mutant)[0] == "dies"
