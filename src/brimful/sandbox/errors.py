"""Errors as Stripe answers them."""

from typing import Any


class ApiError(Exception):
    """An answer other than 200, in Stripe's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {
                "type": kind,
                "message": message,
                **({"code": code} if code else {}),
                **({"param": param} if param else {}),
                **{name: value for name, value in extra.items() if value is not None},
            }
        }
