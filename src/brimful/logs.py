"""Logs: lines for a person, or JSON for a machine; in both, what must not be read in a log is blanked.

Names of people and what they wrote are not logged at all: lines carry ids. What may slip in with somebody else's error
(keys, tokens, cookies, passwords, card numbers, e-mail addresses) is blanked in the finished line, tracebacks included.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

__all__ = ["Form", "begin", "redact"]

Form = Literal["text", "json"]
_NOISY = ("httpx", "httpcore", "procrastinate", "yoyo", "stripe", "opentelemetry")
_FIELDS: Mapping[str, str] = {"levelname": "level", "name": "logger"}

_BLANKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Stripe's and our own keys and secrets, by their prefixes.
    (re.compile(r"\b(sk|rk|pk)_(live|test)_[A-Za-z0-9_]+"), r"\1_\2_[blank]"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), "whsec_[blank]"),
    (re.compile(r"\bbfk_[A-Za-z0-9_-]+"), "bfk_[blank]"),
    # Headers and settings that carry a secret, however they are written.
    (
        re.compile(
            r"(?i)\b(authorization|x-credyt-api-key|stripe-signature|webhook-signature|set-cookie|cookie"
            r"|x-brimful-proxy-secret)(['\"]?\s*[:=,]\s*b?['\"]?)[^\r\n'\"]+"
        ),
        r"\1\2[blank]",
    ),
    (re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]+"), "Bearer [blank]"),
    (re.compile(r"(?i)\b(password|passwd|csrf|token|client_secret)(['\"]?\s*[:=]\s*['\"]?)[^\s&'\"]+"), r"\1\2[blank]"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@"), r"\1:[blank]@"),
    # 256 random bits, as links and cookies carry them.
    (re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"), "[blank]"),
    (re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), "[e-mail]"),
)
_CARD = re.compile(r"(?<![0-9A-Za-z_.-])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z_-])")


def redact(text: str) -> str:
    """The text without secrets, card numbers and addresses."""
    for pattern, blank in _BLANKS:
        text = pattern.sub(blank, text)
    return _CARD.sub(lambda found: "[card]" if _luhn(found[0]) else found[0], text)


def _luhn(text: str) -> bool:
    """Whether digits carry a card number's check digit. Source: ISO/IEC 7812-1, annex B."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Json(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def begin(level: str = "INFO", form: Form = "text") -> None:
    """Log to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(
            _Json("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={**_FIELDS, "asctime": "time"},
                  datefmt="%Y-%m-%dT%H:%M:%S%z")
        )  # fmt: skip
    else:
        handler.setFormatter(_Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
