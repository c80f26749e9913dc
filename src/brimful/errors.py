"""Refusals: what Brimful says no to, by code.

A refusal is an answer, not a bug: it names a stable code, says in words what is wrong and what to do,
and leaves nothing changed. The code decides the HTTP status.
"""

from typing import Any

__all__ = ["STATUS_BY_CODE", "ConfigurationError", "Refused"]

STATUS_BY_CODE: dict[str, int] = {
    "malformed_json": 400,
    "unauthorized": 401,
    "insufficient_funds": 402,
    "forbidden": 403,
    "customer_only": 403,
    "not_found": 404,
    "customer_not_found": 404,
    "asset_not_found": 404,
    "account_not_found": 404,
    "transaction_not_found": 404,
    "top_up_not_found": 404,
    "hold_not_found": 404,
    "webhook_not_found": 404,
    "event_not_found": 404,
    "method_not_allowed": 405,
    "asset_exists": 409,
    "external_id_taken": 409,
    "key_reused": 409,
    "request_in_progress": 409,
    "rule_changed": 409,
    "hold_ended": 409,
    "rate_overlaps": 409,
    "link_expired": 410,
    "body_too_large": 413,
    "invalid_field": 422,
    "amount_invalid": 422,
    "idempotency_mismatch": 422,
    "unknown_account_name": 422,
    "rate_missing": 422,
    "amount_below_one_unit": 422,
    "amount_out_of_range": 422,
    "origin_not_allowed": 422,
    "card_unavailable": 422,
    "consent_required": 422,
    "top_up_not_payable": 422,
    "not_refundable": 422,
    "overrun_refused": 422,
    "url_not_allowed": 422,
    "too_many_requests": 429,
    "internal_error": 500,
    "event_failed": 500,
    "payments_unavailable": 503,
    "unavailable": 503,
}


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A request that is not carried out. Nothing has changed."""

    def __init__(self, code: str, detail: str, *, field: str | None = None, **extra: Any) -> None:
        assert code in STATUS_BY_CODE, code
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.extra = extra

    @property
    def status(self) -> int:
        """HTTP status of this refusal."""
        return STATUS_BY_CODE[self.code]


class ConfigurationError(Exception):
    """The process cannot start as it is set up; the message is one line that says what to do."""
