"""Threat: a library that is another than the one that was tested. Locked hashes, checksums, a bill of materials."""

import json
import pathlib
import re
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LOCKS = ("requirements.lock", "deploy/requirements.lock", "scripts/go.lock", "scripts/supply.lock")


def locked(name):
    """(package, version, hashes) of each entry of a lock file."""
    found = []
    for block in re.split(r"\n(?=\S)", (ROOT / name).read_text()):
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\\\]+)", block)
        if head:
            found.append((head[1].lower(), head[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_one_version_and_its_hashes(name):
    packages = locked(name)
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert len(packages) == len(lines) > 0
    assert [package for package, _, hashes in packages if not hashes] == []


def test_whoever_installs_asks_for_the_hashes():
    for path in ("scripts/bootstrap.sh", "scripts/supply.sh", "deploy/docker/Dockerfile", "docs/operate/deploy.md",
                 "docs/operate/upgrade.md"):  # fmt: skip
        text = (ROOT / path).read_text()
        assert "--require-hashes" in text, path


def test_every_direct_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    reasons = " ".join(path.read_text().lower() for path in (ROOT / "docs" / "decisions").glob("*.md"))
    names = [re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["project"]["dependencies"]]
    called = {"jinja2": "jinja (", "yoyo-migrations": "yoyo ("}
    assert [name for name in names if called.get(name, name) not in reasons] == []


def test_a_vendored_file_that_was_changed_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import vendored

    assert vendored.problems() == []
    copy = tmp_path / "vendor"
    copy.mkdir()
    for path in vendored.VENDOR.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(vendored, "VENDOR", copy)
    script = next(copy.glob("*.js"))
    script.write_bytes(script.read_bytes() + b"//")
    (copy / "more.js").write_text("")
    assert sorted(vendored.problems()) == [
        f"{script.name} is not what the manifest says",
        "more.js is not in the manifest",
    ]


@pytest.mark.timeout(300)
def test_the_bill_of_materials_holds_all_of_it():
    """CycloneDX, by its own tool: every package that is deployed, with version and hashes, and what is vendored."""
    done = subprocess.run(["make", "sbom"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    bill = json.loads((ROOT / ".cache" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "brimful"
    listed = {part["name"].lower(): part for part in bill["components"]}
    for package, version, hashes in locked("deploy/requirements.lock"):
        assert listed[package]["version"] == version
        told = {item["content"] for ref in listed[package]["externalReferences"] for item in ref.get("hashes", [])}
        assert told == set(hashes), package
    manifest = json.loads((ROOT / "src/brimful/portal/static/vendor/manifest.json").read_text())
    assert {item["package"] for item in manifest["files"]} <= set(listed)
