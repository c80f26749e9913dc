"""What can go wrong: the server refused (`Problem`), or nobody knows (`ConnectionFailedError`)."""

from typing import Any


class ApiError(Exception):
    """An operation was not carried out, or nobody knows whether it was."""


class ConnectionFailedError(ApiError):
    """The server did not answer, also not when asked again. A write may have happened: send it again, same key."""


class Problem(ApiError):  # noqa: N818 - RFC 9457 calls it so
    """The server refused (RFC 9457). Nothing has changed, unless `status` is 503.

    Attributes:
        code: stable; docs/reference/problems.md describes each.
        detail: what is wrong and what to do, in words.
        status: of HTTP.
        request_id: names the request in the server's log.
        extra: everything else that it says, such as `balance`, `topup_url` and `errors`.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code: str = str(body.get("code", "unknown"))
        self.detail: str = str(body.get("detail", ""))
        self.request_id: str | None = body.get("request_id")
        self.extra = {name: value for name, value in body.items() if name not in {"code", "detail", "request_id"}}
        super().__init__(f"{self.code}: {self.detail}")
