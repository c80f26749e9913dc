"""The mutation gate in short: every guard's text stands where it is looked for, and one is taken out."""

from mutants import guards, run


def test_each_guard_stands_where_the_gate_looks():
    missing = [
        f"{mutant.row} {mutant.name}: {mutant.file}"
        for mutant in guards.GUARDS
        if (run.ROOT / mutant.file).read_text().count(mutant.old) != 1
    ]
    assert missing == []


def test_each_judge_is_a_test():
    missing = []
    for judge in sorted({judge for mutant in guards.GUARDS for judge in mutant.judges}):
        path, *names = judge.split("::")
        text = (run.ROOT / path).read_text()
        if not all(f"def {name.partition('[')[0]}(" in text or f"class {name}" in text for name in names):
            missing.append(judge)
    assert missing == []


def test_without_it_a_test_fails():
    [mutant] = [one for one in guards.GUARDS if one.name == "the limit"]
    assert run.tried(mutant)[0] == "dies"
