"""How the portal looks, and within which bounds; who may come to the console."""

import re
from collections.abc import Mapping
from typing import Literal

from brimful.errors import ConfigurationError
from brimful.settings.model import ConsoleProxy, PortalSettings
from brimful.settings.values import integer, listed, ranges

__all__ = ["console_proxy", "contrast", "portal", "rgb"]

_ACCENT = "#0b6e5b"
_WHITE = (255, 255, 255)
_CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3: text of normal size
_RADIUS_MAX = 32
_PROXY_SECRET_MIN = 24


def portal(env: Mapping[str, str]) -> PortalSettings:
    """The portal's settings."""
    return PortalSettings(
        accent=_accent(env.get("BRIMFUL_ACCENT", _ACCENT)),
        radius_px=min(integer(env, "BRIMFUL_RADIUS", 14), _RADIUS_MAX),
        logo=env.get("BRIMFUL_LOGO"),
        notice_days=integer(env, "BRIMFUL_NOTICE_DAYS", 30),
        amounts=ranges(env, "BRIMFUL_AMOUNTS"),
        thresholds=ranges(env, "BRIMFUL_THRESHOLDS"),
        confirm_above={code: low for code, (low, _) in ranges(env, "BRIMFUL_CONFIRM_ABOVE", single=True).items()},
    )


def _accent(value: str) -> str:
    """A colour that white text stays readable on, and that is readable on white."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ConfigurationError(f"BRIMFUL_ACCENT={value!r} is not a colour such as #0b6e5b.")
    ratio = contrast(rgb(value), _WHITE)
    if ratio < _CONTRAST_MIN:
        raise ConfigurationError(
            f"BRIMFUL_ACCENT={value} has a contrast of {ratio:.1f}:1 with white; choose a darker colour (4.5:1)."
        )
    return value.lower()


def rgb(colour: str) -> tuple[int, int, int]:
    """`#0b6e5b` as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: tuple[int, int, int], two: tuple[int, int, int]) -> float:
    """Contrast of two colours, 1 to 21. Source: WCAG 2.2, relative luminance."""
    light, dark = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def console_proxy(env: Mapping[str, str]) -> ConsoleProxy | None:
    """The proxy that vouches for operators, if there is one."""
    header = env.get("BRIMFUL_CONSOLE_PROXY_HEADER")
    if header is None:
        return None
    secret = env.get("BRIMFUL_CONSOLE_PROXY_SECRET", "")
    if len(secret) < _PROXY_SECRET_MIN:
        raise ConfigurationError(
            f"BRIMFUL_CONSOLE_PROXY_HEADER is set: give BRIMFUL_CONSOLE_PROXY_SECRET as well, {_PROXY_SECRET_MIN} "
            "characters or more, which only the proxy knows."
        )
    roles: dict[str, Literal["viewer", "operator"]] = {}
    for part in listed(env.get("BRIMFUL_CONSOLE_OPERATORS", "")):
        name, _, role = part.rpartition(":")
        if not name or role not in {"viewer", "operator"}:
            raise ConfigurationError("BRIMFUL_CONSOLE_OPERATORS must look like ada@example.com:operator,bob:viewer.")
        roles[name.lower()] = role  # type: ignore[assignment] # judged above
    return ConsoleProxy(header.lower(), secret, roles)
