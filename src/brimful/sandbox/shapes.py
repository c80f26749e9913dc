"""Objects in Stripe's shape (API 2026-10-28): every field that Stripe's own sample of each has."""

import secrets
from typing import Any

API_VERSION = "2026-10-28.endive"
Object = dict[str, Any]


def new_id(prefix: str) -> str:
    """An id such as Stripe gives: `pi_` and 24 characters."""
    return f"{prefix}_{secrets.token_hex(12)}"


def merged_metadata(before: Object, wanted: Object | str) -> Object:
    """As Stripe merges it: an empty text clears all, an empty value one name."""
    if isinstance(wanted, str):
        return {}
    return {name: value for name, value in {**before, **wanted}.items() if value != ""}


def _metadata(params: Object) -> Object:
    return merged_metadata({}, params.get("metadata", {}))


def customer(now: int) -> Object:
    return {
        "id": new_id("cus"), "object": "customer", "address": None, "balance": 0, "created": now, "currency": None,
        "default_source": None, "delinquent": False, "description": None, "discount": None,
        "email": None, "invoice_prefix": secrets.token_hex(4).upper(),
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None,
                             "rendering_options": None},
        "livemode": False, "metadata": {}, "name": None,
        "next_invoice_sequence": 1, "phone": None, "preferred_locales": [], "shipping": None, "tax_exempt": "none",
        "test_clock": None,
    }  # fmt: skip


def payment_method(
    now: int, *, brand: str, last4: str, fingerprint: str, country: str = "US", wallet: str | None = None
) -> Object:
    return {
        "id": new_id("pm"), "object": "payment_method", "allow_redisplay": "unspecified",
        "billing_details": {"address": {"city": None, "country": None, "line1": None, "line2": None,
                                        "postal_code": None, "state": None},
                            "email": None, "name": None, "phone": None, "tax_id": None},
        "card": {"brand": brand, "checks": {"address_line1_check": None, "address_postal_code_check": None,
                                            "cvc_check": "pass"},
                 "country": country, "display_brand": brand, "exp_month": 8, "exp_year": 2030,
                 "fingerprint": fingerprint, "funding": "credit", "generated_from": None, "last4": last4,
                 "networks": {"available": [brand], "preferred": None}, "regulated_status": "unregulated",
                 "three_d_secure_usage": {"supported": True},
                 "wallet": wallet and {"type": wallet, wallet: {}, "dynamic_last4": last4}},
        "created": now, "customer": None, "customer_account": None, "livemode": False, "metadata": {},
        "type": "card",
    }  # fmt: skip


def payment_intent(now: int, params: Object, *, status: str) -> Object:
    intent_id = new_id("pi")
    return {
        "id": intent_id, "object": "payment_intent", "amount": params["amount"], "amount_capturable": 0,
        "amount_details": {"tip": {}}, "amount_received": 0, "application": None, "application_fee_amount": None,
        "automatic_payment_methods": None, "canceled_at": None, "cancellation_reason": None,
        "capture_method": "automatic_async", "client_secret": f"{intent_id}_secret_{secrets.token_hex(12)}",
        "confirmation_method": "automatic", "created": now, "currency": params["currency"].lower(),
        "customer": params.get("customer"), "customer_account": None, "description": params.get("description"),
        "excluded_payment_method_types": None, "last_payment_error": None, "latest_charge": None, "livemode": False,
        "managed_payments": None, "metadata": _metadata(params), "next_action": None, "on_behalf_of": None,
        "payment_method": params.get("payment_method"), "payment_method_configuration_details": None,
        "payment_method_options": {}, "payment_method_types": ["card"], "processing": None,
        "receipt_email": params.get("receipt_email"), "review": None,
        "setup_future_usage": params.get("setup_future_usage"), "shipping": None, "source": None,
        "statement_descriptor": None, "statement_descriptor_suffix": None, "status": status, "transfer_data": None,
        "transfer_group": None,
    }  # fmt: skip


def setup_intent(now: int, params: Object, *, status: str) -> Object:
    intent_id = new_id("seti")
    return {
        "id": intent_id, "object": "setup_intent", "application": None, "automatic_payment_methods": None,
        "cancellation_reason": None, "client_secret": f"{intent_id}_secret_{secrets.token_hex(12)}", "created": now,
        "customer": params.get("customer"), "description": None, "excluded_payment_method_types": None,
        "flow_directions": None, "last_setup_error": None, "latest_attempt": None, "livemode": False,
        "mandate": None, "metadata": _metadata(params), "next_action": None, "on_behalf_of": None,
        "payment_method": params.get("payment_method"), "payment_method_configuration_details": None,
        "payment_method_options": {}, "payment_method_types": ["card"], "single_use_mandate": None,
        "status": status, "usage": params.get("usage", "off_session"),
    }  # fmt: skip


def charge(now: int, intent: Object, method: Object, *, url: str) -> Object:
    charge_id = new_id("ch")
    return {
        "id": charge_id, "object": "charge", "amount": intent["amount"], "amount_captured": intent["amount"],
        "amount_refunded": 0, "balance_transaction": None, "captured": True, "created": now,
        "currency": intent["currency"], "customer": intent["customer"], "description": intent["description"],
        "disputed": False, "livemode": False, "metadata": intent["metadata"], "paid": True,
        "payment_intent": intent["id"], "payment_method": method["id"], "receipt_url": f"{url}/receipts/{charge_id}",
        "refunded": False,
        "status": "succeeded",
    }  # fmt: skip


def refund(now: int, intent: Object, amount: int, params: Object) -> Object:
    return {
        "id": new_id("re"), "object": "refund", "amount": amount, "balance_transaction": None,
        "charge": intent["latest_charge"], "created": now, "currency": intent["currency"],
        "customer": intent["customer"], "customer_account": None, "destination_details": None,
        "metadata": _metadata(params), "payment_intent": intent["id"],
        "payment_method": intent["payment_method"], "reason": params.get("reason"), "receipt_number": None,
        "source_transfer_reversal": None, "status": "succeeded", "transfer_reversal": None,
    }  # fmt: skip


def dispute(now: int, intent: Object, amount: int, *, status: str, reason: str, prefix: str = "du") -> Object:
    return {
        "id": new_id(prefix), "object": "dispute", "amount": amount, "balance_transactions": [],
        "charge": intent["latest_charge"], "created": now, "currency": intent["currency"],
        "enhanced_eligibility_types": [], "evidence": {}, "evidence_details": {
            "due_by": now + 7 * 86400, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False,
            "submission_count": 0},
        "is_charge_refundable": False, "livemode": False, "metadata": {}, "payment_intent": intent["id"],
        "payment_method_details": {"card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
                                   "type": "card"},
        "reason": reason, "status": status,
    }  # fmt: skip


def movement(now: int, dispute_id: str, amount: int, currency: str) -> Object:
    return {
        "id": new_id("txn"), "object": "balance_transaction", "amount": amount, "available_on": now, "created": now,
        "currency": currency, "description": None, "exchange_rate": None, "fee": 0, "fee_details": [], "net": amount,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal", "source": dispute_id,
        "status": "available", "type": "adjustment",
    }  # fmt: skip


def warning(now: int, intent: Object) -> Object:
    return {
        "id": new_id("issfr"), "object": "radar.early_fraud_warning", "actionable": True,
        "charge": intent["latest_charge"], "created": now, "fraud_type": "made_with_stolen_card", "livemode": False,
        "payment_intent": intent["id"],
    }  # fmt: skip


def checkout_session(now: int, params: Object, *, url: str, session_id: str) -> Object:
    total = sum(line["quantity"] * line["price_data"]["unit_amount"] for line in params.get("line_items", []))
    currency = params.get("currency")
    if params.get("line_items"):
        currency = params["line_items"][0]["price_data"]["currency"]
    payment = params["mode"] == "payment"
    return {
        "id": session_id, "object": "checkout.session", "adaptive_pricing": None, "collected_information": None,
        "customer_account": None, "discounts": [], "integration_identifier": None, "managed_payments": None,
        "origin_context": None, "permissions": None, "wallet_options": None, "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total if payment else None, "amount_total": total if payment else None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None, "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"), "client_secret": None, "consent": None,
        "consent_collection": None, "created": now, "currency": currency, "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None,
                        "terms_of_service_acceptance": None},
        "customer": params.get("customer"), "customer_creation": None, "customer_details": None,
        "customer_email": None, "expires_at": params.get("expires_at", now + 86400), "invoice": None,
        "invoice_creation": None, "livemode": False, "locale": params.get("locale"),
        "metadata": _metadata(params), "mode": params["mode"], "payment_intent": None, "payment_link": None,
        "payment_method_collection": "if_required" if payment else "always",
        "payment_method_configuration_details": None, "payment_method_options": {}, "payment_method_types": ["card"],
        "payment_status": "unpaid" if payment else "no_payment_required",
        "phone_number_collection": {"enabled": False}, "recovered_from": None, "saved_payment_method_options": None,
        "setup_intent": None, "shipping_address_collection": None, "shipping_cost": None, "shipping_options": [],
        "status": "open", "submit_type": None, "subscription": None, "success_url": params.get("success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted",
        "url": url,
    }  # fmt: skip


def event(now: int, kind: str, item: Object) -> Object:
    return {
        "id": new_id("evt"), "object": "event", "api_version": API_VERSION, "created": now,
        "data": {"object": item}, "livemode": False, "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None}, "type": kind,
    }  # fmt: skip


def webhook_endpoint(now: int, params: Object, secret: str) -> Object:
    return {
        "id": new_id("we"), "object": "webhook_endpoint", "api_version": params.get("api_version"),
        "application": None, "created": now, "description": params.get("description"),
        "enabled_events": params.get("enabled_events", ["*"]), "livemode": False,
        "metadata": _metadata(params), "secret": secret, "status": "enabled", "url": params["url"],
    }  # fmt: skip
