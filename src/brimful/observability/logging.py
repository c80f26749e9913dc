"""Logs: lines for a person, or JSON for a machine; in both, what must not be read in a log is blanked.

Names of people and what they wrote are not logged at all: lines carry ids. What may slip in with somebody else's error
(keys, tokens, cookies, passwords, card numbers, addresses) is blanked in message, traceback and every field before they
are put together, and a text is cut before it is searched: a stranger may fill the log.
"""

import datetime as dt
import logging
import re
import sys
import types
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

Form = Literal["text", "json"]
_NOISY = ("httpx", "httpcore", "procrastinate", "yoyo", "stripe", "opentelemetry")
_LENGTH_MAX = 16_000
_LINE_MAX = 2_000

# The value of anything called like this is blanked up to the end of its quotes, or of the word.
_NAMED = r"(?i)([A-Za-z0-9_-]{0,40}(?:password|passwd|pgpass|secret|csrf|token|api_key|apikey|ledger_keys))"
_HEADER = (
    r"(?i)(?<![A-Za-z0-9-])({b}(?:(?:proxy-)?authorization|x-credyt-api-key|stripe-signature|webhook-signature"
    r"|set-cookie|cookie|x-brimful-proxy-secret))"
)
_IS = r"(\\?['\"]?\s{0,3}[:=]\s{0,3})"
_BLANKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Stripe's and our own keys and secrets, by their prefixes.
    (re.compile(r"(?<![A-Za-z0-9])(sk|rk|pk)_(live|test)_[A-Za-z0-9_]+"), r"\1_\2_[blank]"),
    (re.compile(r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]+"), "whsec_[blank]"),
    (re.compile(r"(?<![A-Za-z0-9])bfk_[A-Za-z0-9_-]+"), "bfk_[blank]"),
    (re.compile(r"(?<![A-Za-z0-9])((?:pi|seti|cs)_[A-Za-z0-9]{1,60})_secret_[A-Za-z0-9]+"), r"\1_secret_[blank]"),
    # Headers, whose value runs to the end of its line or its quotes.
    (re.compile(_HEADER.replace("{b}", "") + r"(['\"]?\s{0,3}[:=]\s{0,3}b?['\"]?)[^\r\n'\"]+"), r"\1\2[blank]"),
    (re.compile(_HEADER.replace("{b}", "b'") + r"',\s{0,3}b'[^']+'"), r"\1', [blank]"),
    (re.compile(r"(?i)(?<![A-Za-z0-9])(bearer|basic)\s{1,3}[A-Za-z0-9._~+/=-]{6,}"), r"\1 [blank]"),
    # Settings, fields and parameters.
    (re.compile(_NAMED + _IS + r"(\\?['\"])(?:(?!\3).){0,2000}\3"), r"\1\2\3[blank]\3"),
    (re.compile(_NAMED + _IS + r"(?![\s'\"\[\\])[^\s&'\"\\]+"), r"\1\2[blank]"),
    (re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s:/@]{0,100}):[^\s/]{1,200}@"), r"\1:[blank]@"),
    # What opens something, where it stands in a path.
    (re.compile(r"(/open/)[A-Za-z0-9_%-]+"), r"\1[blank]"),
    # 256 random bits, as links, cookies and the ledger's keys carry them.
    (re.compile(r"(?<![A-Za-z0-9_+/-])[A-Za-z0-9_+/-]{43}(?![A-Za-z0-9_+/-])=?"), "[blank]"),
    (
        re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"),
        "[e-mail]",
    ),
)
# Cards have 13 to 19 digits, and those in use 15 or 16 but for a few of 19: 13 and 14 are times and counts.
_CARD = re.compile(r"(?<![0-9A-Za-z_.-])[2-6][0-9]{3}([ -]?)[0-9]{4,6}\1[0-9]{4,5}(?:\1[0-9]{3,7})?(?![0-9A-Za-z_-])")


def redact(text: str) -> str:
    """The text without secrets, card numbers and addresses; cut where nobody would read on."""
    if len(text) > _LENGTH_MAX:
        text = text[:_LENGTH_MAX] + " [cut]"
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    if len(line) > _LINE_MAX:
        line = line[:_LINE_MAX] + " [cut]"
    for pattern, blank in _BLANKS:
        line = pattern.sub(blank, line)
    return _CARD.sub(lambda found: "[card]" if _luhn(found[0]) else found[0], line)


def _luhn(text: str) -> bool:
    """Whether digits carry a card number's check digit. Source: ISO/IEC 7812-1, annex B."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _utc(record: logging.LogRecord) -> str:
    return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")


class _Text(logging.Formatter):
    """A line is a line: what a stranger wrote makes no second one, and moves no reader's cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's form
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in super().formatMessage(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - the same
        return _utc(record)


class _Json(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - logging's form
        return _utc(record)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Each field by itself: blanked text inside finished JSON would no longer be JSON."""
        kept = super().process_log_record(log_data)
        kept.pop("color_message", None)  # uvicorn's, with codes for a terminal
        return {name: redact(value) if isinstance(value, str) else value for name, value in kept.items()}


def _exit(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """What ends a process is a line like any other."""
    logging.getLogger("brimful").critical("ended by an error", exc_info=(kind, error, trace))


def configure(level: str = "INFO", form: Form = "text") -> None:
    """Log to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        names = {"levelname": "level", "name": "logger", "asctime": "time"}
        fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
        handler.setFormatter(_Json(fields, rename_fields=names))
    else:
        handler.setFormatter(_Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    sys.excepthook = _exit
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
