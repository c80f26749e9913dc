"""What the linters cannot say: no trace of a workplace, files of a size, functions of a screen."""

import ast
import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = sorted((ROOT / "src").rglob("*.py"))
FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70


def test_functions_fit_on_a_screen():
    long = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_files_stay_readable():
    assert [str(path) for path in SOURCE if len(path.read_text().splitlines()) > FILE_LINES_MAX] == []


def test_a_function_takes_a_transaction_or_the_network_never_both():
    """Design: `tx` means no network; a gateway means short transactions of its own."""
    both = []
    for path in SOURCE:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.AsyncFunctionDef):
                continue
            arguments = {argument.arg for argument in node.args.args + node.args.kwonlyargs}
            calls = {
                call.func.value.attr
                for call in ast.walk(node)
                if isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and isinstance(call.func.value, ast.Attribute)
            }
            if "tx" in arguments and "gateway" in calls:
                both.append(f"{path.name}:{node.name}")
    assert both == []


def test_no_call_to_the_gateway_stands_inside_an_open_transaction():
    inside = []
    for path in SOURCE:
        for block in ast.walk(ast.parse(path.read_text())):
            if not isinstance(block, ast.AsyncWith) or "transaction()" not in ast.unparse(block.items[0].context_expr):
                continue
            inside += [
                f"{path.name}:{node.lineno}"
                for statement in block.body
                for node in ast.walk(statement)
                if isinstance(node, ast.Attribute)
                and node.attr == "gateway"
                and ".livemode" not in ast.unparse(statement)
            ]
    assert inside == []


def test_no_float_touches_money():
    """`float(` stands only where seconds, milliseconds or percentages are meant."""
    allowed = {"replay.py", "report.py", "switches.py"}
    found = [path.name for path in SOURCE if path.parent.name != "bench" and path.name not in allowed
             and re.search(r"\bfloat\(", path.read_text())]  # fmt: skip
    assert found == []


def test_nothing_tells_of_a_workplace():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    words = re.compile(r"/work/|\.library|\.mirror|files\.pythonhosted|pypi\.org|subagent", re.IGNORECASE)
    here = str(pathlib.Path(__file__).relative_to(ROOT))
    found = [
        name
        for name in tracked
        if name != here and (ROOT / name).is_file() and words.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert found == []


def test_plain_pytest_collects_every_file():
    """Two folders may have a file of one name."""
    names = collections.Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    namesakes = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if names[path.name] > 1]
    assert namesakes
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *namesakes],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
