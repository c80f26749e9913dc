"""Reading the environment: nothing else does."""

import dataclasses
import datetime as dt
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic
import pydantic_settings

from brimful.core.errors import ConfigurationError
from brimful.settings import values
from brimful.settings.model import CommandSettings, ConsoleProxy, Group, PortalSettings, Settings

Model = TypeVar("Model", bound=pydantic_settings.BaseSettings)


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, or from `environ` alone.

    Raises:
        ConfigurationError: naming every value that is missing or cannot be used.
    """
    problems: list[str] = []
    whole = _read(Settings, environ, problems)
    portal, proxy = _read(PortalSettings, environ, problems), _read(ConsoleProxy, environ, problems)
    if whole is None or portal is None or proxy is None:
        raise _error(problems)
    return whole.model_copy(update={"portal": portal, "console_proxy": proxy if proxy.header else None})


def _read(kind: type[Model], environ: Mapping[str, str] | None, problems: list[str]) -> Model | None:
    """One group of settings; None where it cannot be used, with the reasons added to `problems`."""
    build: Callable[..., Model] = kind
    if environ is not None:  # the environment of this process is left out

        class Given(kind):  # type: ignore[valid-type,misc]
            @classmethod
            def settings_customise_sources(cls, _settings_cls: object, **sources: Any) -> tuple[Any, ...]:
                return (sources["init_settings"],)

        build = Given
    try:
        return build(**{name: value for name, value in (environ or {}).items() if value != ""})
    except pydantic.ValidationError as error:
        # Defaults that follow from a setting at fault are its consequence, no problems of their own.
        problems += [_problem(kind, item) for item in error.errors() if item["type"] != "default_factory_not_called"]
        return None


def _problem(kind: type[pydantic_settings.BaseSettings], item: Any) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "missing":
        meaning = next(field.description for field in kind.model_fields.values() if field.validation_alias == name)
        return f"{name} is not set: {meaning}."
    if item["type"] == "literal_error":
        return f"{name}={item['input']!r} is not one of {item['ctx']['expected']}."
    reason = str(item["ctx"]["error"]) if "error" in item.get("ctx", {}) else item["msg"]
    return f"{reason}." if not name else f"{name}: {reason}."


def _error(problems: list[str]) -> ConfigurationError:
    if len(problems) == 1:
        return ConfigurationError(problems[0])
    return ConfigurationError(
        "\n".join([f"{len(problems)} settings cannot be used:", *(f"  {one}" for one in problems)])
    )


def _one(kind: type[Model], environ: Mapping[str, str] | None = None) -> Model:
    problems: list[str] = []
    found = _read(kind, environ, problems)
    if found is None:
        raise _error(problems)
    return found


# --- single values, for commands that need nothing else ------------------------------------------------------------


def _field(name: str, extra: Mapping[str, str] | None = None) -> Any:
    """One field of `Settings`, read alone."""
    field = Settings.model_fields[name]
    alone: Any = pydantic.create_model("Alone", __base__=Group, **{name: (field.annotation, field)})  # type: ignore[call-overload]
    return getattr(_one(alone, None if extra is None else {**os.environ, **extra}), name)


def embedded_version() -> str:
    """Major version of the embedded PostgreSQL that a new data directory gets."""
    return _one(CommandSettings).postgres


def bench_beside() -> str | None:
    """The plain PostgreSQL that `brimful bench usage` compares DATABASE_URL's with."""
    return _one(CommandSettings).bench_beside


def preset_api_key() -> str | None:
    """`BRIMFUL_API_KEY`, validated."""
    key: str | None = _field("api_key")
    return key


def database_url() -> str | None:
    """The database, past any pooler."""
    return os.environ.get("DATABASE_URL_DIRECT") or os.environ.get("DATABASE_URL") or None


def ledger_keyring(extra: Mapping[str, str]) -> dict[int, bytes]:
    """The ledger's keys, from `extra` or the environment, for commands that only verify."""
    return dict(_field("ledger_keys", extra))


def pace() -> tuple[int, dt.timedelta]:
    """Automatic top-ups of one account in an hour, and their spacing."""
    return _field("pace_per_hour"), dt.timedelta(seconds=_field("pace_spacing_s"))


def merchant() -> str:
    """The name that pages show."""
    name: str = _field("merchant")
    return name


def portal() -> PortalSettings:
    """What the business says of itself, for commands that quote it."""
    return _one(PortalSettings)


@dataclasses.dataclass(frozen=True)
class StripeAccess:
    """How to ask Stripe, and where it is to send its events."""

    key: str | None
    url: str | None
    public_url: str
    webhook_secrets: tuple[str, ...]
    epoch_file: str | None = None

    @property
    def live(self) -> bool:
        return (self.key or "").startswith(values.LIVE_KEYS)

    @property
    def webhook_url(self) -> str:
        """Where events are received."""
        return f"{self.public_url}/v1/stripe/webhooks"


def stripe_access(*, public_url: str | None = None) -> StripeAccess:
    """Stripe's key and addresses alone, for the doctor and for setting up.

    Raises:
        ConfigurationError: a live key would be sent elsewhere.
    """
    access = StripeAccess(
        _field("stripe_key"),
        _field("stripe_url"),
        (public_url or _field("public_url")).rstrip("/"),
        _field("stripe_webhook_secrets"),
        _field("epoch_file"),
    )
    try:
        values.require_stripe_for_live_key(access.key, access.url)
    except ValueError as error:
        raise ConfigurationError(f"{error}.") from None
    return access


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra` laid over it, for a child process."""
    return {**os.environ, **extra}


def load_file(path: str) -> None:
    """Take settings from a file of NAME=VALUE lines, as systemd and Docker read it; what is set already stands."""
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationError(f"{path}, line {number}: a setting looks like NAME=VALUE.")
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        os.environ.setdefault(name, value[1:-1] if quoted else value)
