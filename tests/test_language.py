"""The field's own words, in names, texts and pages: the private ones that were replaced do not come back.

A word is looked for as a part of a name (`door_of` has two) in `src/`, and as a whole word in what people read: `src/`
and `docs/`. `docs/glossary.md` says which word stands for what; a decision may quote a word that it
replaced.
"""

import ast
import pathlib
import re

_ROOT = pathlib.Path(__file__).parent.parent
_NAMES = {
    "topup", "topups", "till", "rearm", "rearmed", "door", "doors", "desk", "shelf", "poster", "posters", "manners",
    "courier", "witness", "epochs", "uproot", "letters", "stepping", "crowd", "judge", "judged", "judges", "hear",
    "heard", "told", "whoever", "whatever",
}  # fmt: skip
_TEXT = re.compile(
    r"\b(auto topup|auto_topup|rearm\w*|first door|uproot\w*|courier|posters?|judge|judges|judged|whoever|whatever"
    r"|is told|was told|are told|below its line|the line is crossed|crosses the line|charging is held)\b",
    re.IGNORECASE,
)
_OTHERS = {"topup_url"}  # a field of an answer that clients read


def _names(tree: ast.AST):
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, node.lineno


def _parts(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_no_name_in_the_source_has_a_private_word():
    found = []
    for path in sorted((_ROOT / "src").rglob("*.py")):
        for name, line in _names(ast.parse(path.read_text("utf-8"))):
            if name.strip("_") not in _OTHERS and _parts(name) & _NAMES:
                found.append(f"{path.relative_to(_ROOT)}:{line}: {name}")
        assert not _parts(path.stem) & _NAMES, path
    assert found == []


def test_no_page_docstring_or_message_has_one():
    found = []
    paths = [path for path in (_ROOT / "src").rglob("*") if path.suffix in {".py", ".html", ".po", ".sql", ".txt"}]
    paths += [path for path in (_ROOT / "docs").rglob("*.md") if "decisions" not in path.parts]
    for path in sorted([*paths, _ROOT / "README.md", _ROOT / "ARCHITECTURE.md"]):
        if path.name != "glossary.md":
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                found += [f"{path.relative_to(_ROOT)}:{number}: {word[0]}" for word in _TEXT.finditer(line)]
    assert found == []
