"""Verifies the vendored static files against their manifest: none changed, none missing, none unlisted.

`--upstream` also fetches each package from the npm registry and compares the file with the one in it; `--into FILE`
adds them to a CycloneDX bill of materials.
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

VENDOR = pathlib.Path(__file__).parent.parent / "src" / "brimful" / "portal" / "static" / "vendor"


def problems() -> list[str]:
    """What does not agree with the manifest."""
    listed = {item["file"]: item for item in json.loads((VENDOR / "manifest.json").read_text())["files"]}
    there = {path.name for path in VENDOR.iterdir()} - {"manifest.json"}
    found = [f"{name} is not in the manifest" for name in sorted(there - set(listed))]
    for name, item in listed.items():
        if name not in there:
            found.append(f"{name} is missing")
        elif hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() != item["sha256"]:
            found.append(f"{name} is not what the manifest says")
        if not all(item.get(key) for key in ("package", "version", "licence", "path")):
            found.append(f"{name}: package, version, licence and path are needed")
    return found


def upstream() -> list[str]:
    """What differs from the published packages, but for the comment that names a source map."""
    import subprocess
    import tempfile

    found = []
    for item in json.loads((VENDOR / "manifest.json").read_text())["files"]:
        with tempfile.TemporaryDirectory() as folder:
            wanted = f"{item['package']}@{item['version']}"
            subprocess.run(["npm", "pack", "--silent", wanted], cwd=folder, check=True, capture_output=True)
            [archive] = pathlib.Path(folder).glob("*.tgz")
            with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as packed:
                member = packed.extractfile(f"package/{item['path']}")
                assert member is not None
                published = member.read()
        ours = (VENDOR / item["file"]).read_bytes()
        if ours.strip() != published.partition(b"//# sourceMappingURL=")[0].strip():
            found.append(f"{item['file']} differs from {wanted}")
    return found


def into(path: pathlib.Path) -> None:
    """Add the files to a bill of materials."""
    bill = json.loads(path.read_text())
    for item in json.loads((VENDOR / "manifest.json").read_text())["files"]:
        bill["components"].append(
            {
                "type": "library", "bom-ref": f"vendored/{item['file']}", "name": item["package"],
                "version": item["version"], "purl": f"pkg:npm/{item['package'].replace('@', '%40')}@{item['version']}",
                "licenses": [{"license": {"id": item["licence"]}}],
                "hashes": [{"alg": "SHA-256", "content": item["sha256"]}],
            }
        )  # fmt: skip
    path.write_text(json.dumps(bill, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--into"]:
        into(pathlib.Path(sys.argv[2]))
        sys.exit()
    wrong = problems() + (upstream() if "--upstream" in sys.argv else [])
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))
