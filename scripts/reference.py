"""Writes the reference pages that are made from code. `make docs` runs it; a test holds them to the code."""

import json
import pathlib
import sys

import click

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]
import shapes  # noqa: E402

OUT = ROOT / "docs" / "reference"


def pages() -> dict[pathlib.Path, str]:
    """Every generated file with its text."""
    return {
        OUT / "openapi.json": json.dumps(_document(), indent=1, ensure_ascii=False) + "\n",
        OUT / "api.md": _api(),
        OUT / "problems.md": _problems(),
        OUT / "events.md": _events(),
        OUT / "credyt.md": _credyt(),
        OUT / "commands.md": _commands(),
        ROOT / "clients" / "python" / "src" / "brimful_client" / "shapes.py": shapes.module(_document()),
        ROOT / "docs" / "llms.txt": _llms(),
        ROOT / "docs" / "settings.md": _settings(),
    }


def _document() -> dict:
    from fastapi import FastAPI

    from brimful import api
    from brimful.api.routes import ROUTERS

    app = FastAPI(generate_unique_id_function=api.openapi.operation_id)
    for router in ROUTERS:
        app.include_router(router)
    return api.openapi.document(app)


def _api() -> str:
    document = _document()
    lines = [
        "# Operations", "",
        "Every operation of the API, under `/v1`. A running server shows them with their fields at `/docs`; the whole",
        "description is [openapi.json](openapi.json) (OpenAPI 3.1).", "",
        "A customer is named by `customer_id`, or in its place by `external_id:` and your own id: `GET",
        "/v1/customers/external_id:acme/wallet`. The same works in bodies and queries that take a `customer_id`, but for",
        "usage, which has `customer_external_id`. A key needs the scope of what it calls; `brimful keys create --scope` gives it.", "",
        "| operation | scope | what it does |", "|---|---|---|",
    ]  # fmt: skip
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            text = operation.get("description") or operation["summary"] + "."
            [(scheme, scopes)] = operation["security"][0].items()
            scope = f"`{scopes[0]}`" if scopes else f"a {scheme.replace('_', ' ')}"
            lines.append(f"| `{method.upper()} {path}` | {scope} | {' '.join(text.split())} |")
    return "\n".join(lines) + "\n"


def _problems() -> str:
    from brimful.core.errors import PROBLEMS

    lines = [
        "# Problems", "",
        "A refusal is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `code`, `detail`, `request_id`, and",
        "`errors` where fields are to blame. The code is stable; the detail is for people and may change. A refusal changes",
        "nothing and is not remembered: the same key may be sent again. Codes may be added; treat one that you do not know",
        "by its status. `type` is the address of a page about the code, on the server that answered: `/docs/problems/CODE`.", "",
        "| code | status | meaning |", "|---|---|---|",
    ]  # fmt: skip
    lines += [f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in PROBLEMS.items()]
    return "\n".join(lines) + "\n"


def _events() -> str:
    from brimful.api import schemas
    from brimful.notifications.events import Topic

    lines = [
        "# Events", "",
        "Sent to webhooks by [Standard Webhooks](https://www.standardwebhooks.com): the body is",
        '`{"type": ..., "timestamp": ..., "data": {...}}`. Each transition has its event; order is not promised. New topics and new',
        "fields may appear.", "",
    ]  # fmt: skip
    for topic in Topic:
        model = schemas.events.DATA[topic]
        lines += [f"## `{topic.value}`", "", schemas.events.SUMMARIES[topic], "", "| field | type |", "|---|---|"]
        schema = model.model_json_schema()
        for name, field in schema["properties"].items():
            lines.append(f"| `{name}` | {_type(field)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _type(field: dict) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    text = field.get("type", "any")
    if "pattern" in field:
        text = "decimal as text"
    if "format" in field:
        text = "time (RFC 3339)"
    return f"{text}: {field['description']}" if "description" in field else text


def _credyt() -> str:
    from support.credyt import ANSWERED, NOT_ANSWERED

    lines = [
        "# Credyt's client", "",
        'The Python client `credyt-api` 0.2.0 works unchanged with `endpoint="http://HOST/v1"` and the API key as its',
        "credential. Every operation that it has:", "",
        "| operation | |", "|---|---|",
    ]  # fmt: skip
    rows = {name: f"answered: `{what.partition(':')[0]}`{_rest(what)}" for name, what in ANSWERED.items()}
    rows |= {name: f"not, because: {reason}" for name, reason in NOT_ANSWERED.items()}
    lines += [f"| `{name}` | {rows[name]} |" for name in sorted(rows)]
    return "\n".join(lines) + "\n"


def _rest(what: str) -> str:
    _, colon, more = what.partition(": ")
    return f" ({more})" if colon else ""


def _commands() -> str:
    import brimful.cli  # noqa: F401 - registers the commands
    from brimful.cli.common import cli

    lines = ["# Commands", "", "`brimful COMMAND --help` shows the same.", ""]
    for name in sorted(cli.commands):
        lines += _command(name, cli.commands[name])
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: click.Command) -> list[str]:
    if isinstance(command, click.Group):
        return [line for sub in sorted(command.commands) for line in _command(f"{name} {sub}", command.commands[sub])]
    context = click.Context(command, info_name=f"brimful {name}")
    lines = [f"## `brimful {name}`", "", " ".join((command.help or "").split()), "", "```text"]
    lines += [line.rstrip() for line in command.get_help(context).splitlines() if line.strip() and "--help" not in line]
    return [*lines, "```", ""]


def _settings() -> str:
    """Every setting, from the fields that read it."""
    from brimful import settings

    lines = [
        "# Settings", "",
        "Read from the environment by `settings/`, and nowhere else; `brimful --env FILE ...` takes them from a file. `brimful up`",
        "and `brimful demo` set what they need. What cannot be used is named, all of it at once. This page is generated from the",
        "fields in `settings/model.py`.", "",
        "| name | default | meaning |", "|---|---|---|",
    ]  # fmt: skip
    for group in settings.model.GROUPS:
        for field in group.model_fields.values():
            if field.validation_alias is None:
                continue
            shown = (field.json_schema_extra or {}).get("shown")
            default = shown or (
                "required" if field.is_required() else "none" if field.default is None else f"`{field.default}`"
            )
            lines.append(f"| `{field.validation_alias}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _llms() -> str:
    """https://llmstxt.org: what there is to read, for a program that reads."""
    lines = [
        "# Brimful", "",
        "> Keeps prepaid balances funded: usage draws a wallet down in real time; below the customer's threshold, their saved card",
        "> is charged through Stripe and the wallet credited. Self-hosted, Apache-2.0, Python and PostgreSQL.", "",
        "Only the customer sets rules, cards and consents, in the Billing Portal; the platform makes the link.", "",
    ]  # fmt: skip
    for title, folder in (("Tutorial", "tutorial"), ("How-to", "how-to"), ("Operate", "operate"), ("Reference", "reference"),
                          ("Explanation", "explanation"), ("Decisions", "decisions")):  # fmt: skip
        lines += [f"## {title}", ""]
        for path in sorted((ROOT / "docs" / folder).glob("*.md")):
            heading = path.read_text().splitlines()[0].lstrip("# ")
            lines.append(f"- [{heading}]({folder}/{path.name})")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
