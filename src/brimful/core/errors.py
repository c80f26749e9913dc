"""Refusals: what Brimful says no to, by code.

A refusal is an answer, not a bug: it names a stable code, says in words what is wrong and what to do,
and leaves nothing changed. The code decides the HTTP status.
"""

from typing import Any

# Code -> status, and what it means to the caller. docs/reference/problems.md is generated from this.
PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed_json": (400, "The body is not JSON, nests too deep, or holds a character that cannot be kept."),
    "unauthorized": (401, "There is no API key, or it is unknown, expired or revoked."),
    "insufficient_funds": (
        402,
        "What is available does not cover this. Nothing was taken; the id may be sent again.",
    ),
    "budget_exceeded": (
        402,
        "A hard budget does not cover this: `budget` names it. Nothing was taken; the id may be sent again.",
    ),
    "forbidden": (403, "The key lacks the scope that this needs."),
    "customer_only": (403, "Only the customer sets rules, cards and consents: make a link to the Billing Portal."),
    "not_found": (404, "There is no such path, rule or alert."),
    "customer_not_found": (404, "There is no customer with this id."),
    "asset_not_found": (404, "There is no asset with this code: create it first."),
    "account_not_found": (404, "A wallet has one account for each asset; its id looks like default:USD."),
    "transaction_not_found": (404, "No adjustment or charge has this transaction_id."),
    "top_up_not_found": (404, "There is no top-up with this id."),
    "grant_not_found": (404, "The balance has no credit with this id."),
    "hold_not_found": (404, "The customer has no hold with this id."),
    "budget_not_found": (404, "The customer has no budget with this id."),
    "webhook_not_found": (404, "There is no webhook with this id."),
    "event_not_found": (404, "There is no event with this id."),
    "method_not_allowed": (405, "The path exists, not with this method: `Allow` names those that it has."),
    "asset_exists": (409, "An asset with this code exists already."),
    "external_id_taken": (409, "Another customer has this external id, or this customer at Stripe."),
    "key_reused": (409, "This id was used before, for something else: send a new id."),
    "request_in_progress": (409, "A request with this Idempotency-Key is still running: ask again in a moment."),
    "customer_erased": (409, "The customer was erased: nothing of them can be changed or opened again."),
    "rule_changed": (409, "The customer's settings were changed in another window."),
    "hold_ended": (409, "The hold was captured, released or has expired, and cannot end otherwise."),
    "budget_ended": (409, "The budget has ended, and its id stays taken: choose another."),
    "budget_fixed": (409, "What a budget matches, its window and its parent stay: end it, and make another."),
    "budget_has_children": (409, "Other budgets stand below this one: end them first."),
    "budget_not_yours": (409, "The platform changes its budgets, the customer theirs."),
    "too_many_budgets": (409, "A balance has as many budgets as are allowed, or one tag has: end one of them first."),
    "no_lease": (409, "The hold does not renew itself: only a lease is used piece by piece."),
    "rate_overlaps": (409, "Another price is valid in that time."),
    "dispute_closed": (409, "The dispute has ended: nothing can be submitted."),
    "offer_overlaps": (409, "Two offers from the same amount would apply at the same time."),
    "link_expired": (410, "The link was used or has expired: make a new one."),
    "body_too_large": (413, "The body is larger than is read: 256 KB, 2 MB for usage."),
    "invalid_field": (422, "A field is missing, unknown or has a wrong form: `errors` names it."),
    "amount_invalid": (
        422,
        "An amount is no plain decimal of the asset's precision, or not positive where it must be.",
    ),
    "idempotency_mismatch": (422, "This Idempotency-Key was used with another body: send a new key."),
    "unknown_account_name": (422, "A wallet has one account per asset, named default."),
    "rate_missing": (422, "The asset has no price in this currency: add one first."),
    "amount_below_one_unit": (422, "The amount buys less than one unit of the asset."),
    "amount_out_of_range": (422, "The amount is below Stripe's least or above the most for this currency."),
    "origin_not_allowed": (422, "The address is not on an origin that the platform has listed."),
    "card_unavailable": (422, "The card cannot be charged."),
    "consent_required": (422, "The customer has not agreed to these charges."),
    "top_up_not_payable": (422, "The top-up has ended, or cannot be paid in this state."),
    "not_refundable": (422, "The top-up was not paid, or less is left of it than was asked for."),
    "overrun_refused": (422, "The capture is more than its hold: capture less, or allow an overrun."),
    "url_not_allowed": (422, "A webhook must go to an https address on the public internet."),
    "too_many_requests": (429, "The key or the address is over its rate limit: wait as long as `Retry-After` says."),
    "too_many_payments": (
        429,
        "The customer has paid by hand as often as is allowed in 24 hours: `until` says when again.",
    ),
    "internal_error": (500, "Something failed on our side; the request id names it in the log."),
    "event_failed": (500, "This event could not be recorded, and was logged. Nothing changed."),
    "payments_unavailable": (503, "No payment provider is configured, or it does not answer."),
    "unavailable": (503, "The database does not answer, or too much is waiting: send the same again in a moment."),
}
TITLES: dict[str, str] = {
    code: meaning.partition(". ")[0].rstrip(".").replace("`", "") + "." for code, (_, meaning) in PROBLEMS.items()
}
STATUS_BY_CODE: dict[str, int] = {code: status for code, (status, _) in PROBLEMS.items()}


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
