"""Cards, consents, rules and their facts."""

from typing import Any

from brimful import auto_top_up, cards
from brimful.core.ids import CustomerId
from brimful.dev.simulation.statements import registry, wallets
from brimful.dev.simulation.tables import Row, Tables

# --- cards, consents -----------------------------------------------------------------------------------------


@registry.on(cards.store._GET)
def _card(t: Tables, p: Any) -> list[Row]:
    row = t.get("cards", *p)
    return [] if row is None else [registry.only(row, cards.store.Card)]


@registry.on(cards.store._SET_STATE)
def _card_state(t: Tables, p: Any) -> int:
    row = t.get("cards", p["customer_id"], p["card_id"])
    if row is None or row["state"] in {"detached", p["state"]}:
        return 0
    t.update("cards", row, state=p["state"], state_reason=p["reason"], is_default=False)
    return 1


@registry.on(cards.store._RENEW)
def _renew(t: Tables, p: Any) -> int:
    row = t.get("cards", p["customer_id"], p["card_id"])
    assert row is not None
    names = ("fingerprint", "brand", "last4", "exp_month", "exp_year", "country", "wallet")
    t.update("cards", row, **{name: p[name] for name in names}, stripe_payment_method_id=p["payment_method"])
    return 1


@registry.on(cards.store._SAME_PLASTIC)
def _same_plastic(t: Tables, p: Any) -> list[Row]:
    rows = t.where("cards", fingerprint=p[0], state="active")
    return [row for row in rows if (row["customer_id"], row["card_id"]) != (p[1], p[2])]


@registry.on(cards.store._UNBLOCK)
def _unblock(t: Tables, p: Any) -> int:
    row = t.get("cards", p[1], p[2])
    if row is None or (row["state"], row["state_reason"]) != ("blocked", p[3]):
        return 0
    t.update("cards", row, state="active", state_reason=None)
    return 1


@registry.on(auto_top_up.pauses._DATA_IS_NEW)
def _data_is_new(t: Tables, p: Any) -> list[Row]:
    rows = []
    for row in t.where("rule_states", customer_id=p["customer_id"], pause_reason="card_data"):
        rule = t.get("rules", p["customer_id"], row["asset"])
        if rule is not None and p["card_id"] in {rule["card_id"], rule["backup_card_id"]}:
            rows.append(t.update("rule_states", row, paused_at=None, pause_reason=None))
    return rows


@registry.on("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))")
def _advisory(_t: Tables, _p: Any) -> int:
    return 1  # transactions do not overlap here


@registry.on(cards.decline_budget._COUNT)
def _count_tries(t: Tables, p: Any) -> list[Row]:
    rows = t.where("card_tries", fingerprint=p["fingerprint"])

    declined = sum(row["state"] in {"declined", "hard", "data"} and row["at"] > p["since"] for row in rows)
    mine = sum(row["payment_id"] == p["payment_id"] for row in rows)
    return [{"declined": declined, "open": sum(row["state"] == "open" for row in rows), "mine": mine}]


@registry.on(cards.decline_budget._DECLINES)
def _count_declines(t: Tables, p: Any) -> list[Row]:
    rows = t.where("card_tries", fingerprint=p[0])
    return [{"n": sum(row["state"] in {"declined", "hard", "data"} and row["at"] > p[1] for row in rows)}]


@registry.on(cards.decline_budget._FORBIDDEN)
def _forbidden(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("card_tries", fingerprint=p["fingerprint"])
            if row["state"] == "disputed" or (row["at"] > p["since"] and (
                row["state"] == "hard" or (row["state"] == "data" and row["expiry"] == p["expiry"])))]  # fmt: skip
    return sorted(rows, key=lambda row: row["state"] == "data")[:1]


@registry.on(cards.decline_budget._DISPUTED)
def _plastic_disputed(t: Tables, p: Any) -> int:
    row = t.get("card_tries", p["payment_id"])
    if row is None:
        t.insert("card_tries", {"payment_id": p["payment_id"], "fingerprint": p["fingerprint"], "state": "disputed",
                                "at": p["now"], "expiry": None})  # fmt: skip
    else:
        t.update("card_tries", row, state="disputed", at=p["now"])
    return 1


@registry.on(cards.decline_budget._INSERT)
def _claim(t: Tables, p: Any) -> int:
    t.insert("card_tries", {"payment_id": p[0], "fingerprint": p[1], "state": "open", "at": p[2],
                            "expiry": None})  # fmt: skip
    return 1


@registry.on(cards.decline_budget._DECLINED)
def _declined(t: Tables, p: Any) -> int:
    row = t.get("card_tries", p["payment_id"])
    if row is None or row["state"] != "open":
        return 0
    t.update("card_tries", row, state=p["state"], at=p["now"], expiry=p["expiry"])
    return 1


@registry.on("DELETE FROM card_tries WHERE payment_id = %s AND state = 'open'")
def _release(t: Tables, p: Any) -> int:
    row = t.get("card_tries", p[0])
    if row is None or row["state"] != "open":
        return 0
    t.delete("card_tries", row)
    return 1


@registry.on(cards.setups._LIST_OPEN)
def _no_setups(_t: Tables, _p: Any) -> list[Row]:
    return []  # cards come from the stage, not from Checkout


@registry.on(cards.consents._INSERT)
def _consent(t: Tables, p: Any) -> int:
    names = ("customer_id", "consent_id", "kind", "action", "withdraws", "asset", "card_id", "currency", "threshold",
             "amount_minor", "limit_minor", "charge_max_minor", "target", "day_limit_minor", "exposure_day_minor",
             "rate", "rate_per", "lasts_days", "ask_above_minor", "ask_after", "brake", "threshold_low",
             "backup_card_id", "promotional_counts", "terms_version")  # fmt: skip
    t.insert("consents", {**{name: p[name] for name in names}, "recorded_at": p["now"]})
    return 1


def _withdrawal(t: Tables, customer_id: CustomerId, consent_id: str) -> Row | None:
    found = t.where("consents", customer_id=customer_id, withdraws=consent_id)
    return found[0] if found else None


@registry.on(cards.consents._STANDING)
def _standing_consent(t: Tables, p: Any) -> list[Row]:
    row = t.get("consents", p["customer_id"], p["consent_id"])
    stands = row is not None and row["action"] == "given" and not _withdrawal(t, p["customer_id"], p["consent_id"])
    return registry.maybe(row if stands else None)


# --- rules ---------------------------------------------------------------------------------------------------


def _rule(t: Tables, row: Row) -> Row:
    state = t.get("rule_states", row["customer_id"], row["asset"])
    consent = t.get("consents", row["customer_id"], row["consent_id"])
    assert state is not None
    assert consent is not None
    whole = {**state, **row, "in_force": state["threshold"], "terms_version": consent["terms_version"]}
    return registry.only(whole, auto_top_up.rules.Rule)


@registry.on(auto_top_up.rules._COLUMNS + "WHERE r.customer_id = %s AND r.asset = %s")
def _get_rule(t: Tables, p: Any) -> list[Row]:
    row = t.get("rules", *p)
    return [] if row is None else [_rule(t, row)]


@registry.on(auto_top_up.rules._COLUMNS + "WHERE r.customer_id = %s ORDER BY r.asset")
def _list_rules(t: Tables, p: Any) -> list[Row]:
    return [_rule(t, row) for row in sorted(t.where("rules", customer_id=p[0]), key=lambda row: row["asset"])]


@registry.on(auto_top_up.rules._UPSERT)
def _upsert_rule(t: Tables, p: Any) -> int:
    names = ("enabled", "card_id", "currency", "threshold", "amount_minor", "limit_minor", "consent_id",
             "charge_max_minor", "target", "day_limit_minor", "least_minor", "rate", "rate_per", "lasts_days",
             "ask_above_minor", "ask_after", "brake", "threshold_low", "backup_card_id",
             "promotional_counts")  # fmt: skip
    values = {**{name: p[name] for name in names}, "updated_at": p["now"]}
    row = t.get("rules", p["customer_id"], p["asset"])
    if row is None:
        t.insert("rules", {"customer_id": p["customer_id"], "asset": p["asset"], **values, "version": 1})
    else:
        t.update("rules", row, **values, version=row["version"] + 1)
    return 1


@registry.on(auto_top_up.rules._STATE)
def _rule_state(t: Tables, p: Any) -> int:
    low, high = p["threshold_low"], p["threshold"]
    there = t.get("rule_states", p["customer_id"], p["asset"])
    if there is not None:
        t.update("rule_states", there, threshold=high if low is None else min(max(there["threshold"], low), high))
        return 1
    t.insert("rule_states", {"customer_id": p["customer_id"], "asset": p["asset"], "paused_at": None,
                             "threshold": high if low is None else low,
                             "pause_reason": None, "not_before": None, "wake_at": None, "reason": "off",
                             "reason_at": p["now"]})  # fmt: skip
    return 1


@registry.on(auto_top_up.rules._RESUME)
def _resume(t: Tables, p: Any) -> int:
    row = t.get("rule_states", p["customer_id"], p["asset"])
    assert row is not None
    t.update("rule_states", row, paused_at=None, pause_reason=None, not_before=None)
    return 1


@registry.on(auto_top_up.rules._TURN_OFF)
def _turn_off(t: Tables, p: Any) -> int:
    row = t.get("rules", p[1], p[2])
    assert row is not None
    t.update("rules", row, enabled=False, version=row["version"] + 1, updated_at=p[0])
    return 1


_OUT = {"failed", "canceled"}


@registry.on(auto_top_up.order._LATEST)
def _latest_moment(t: Tables, p: Any) -> list[Row]:
    moments = [row["recorded_at"] for row in t.where("consents", customer_id=p["customer_id"], asset=p["asset"])]
    automatic = t.where("top_ups", customer_id=p["customer_id"], asset=p["asset"], kind="automatic")
    moments += [row["confirmed_at"] for row in automatic if row["confirmed_at"] is not None]
    return [{"latest": max(moments, default=None)}]


@registry.on(auto_top_up.facts._FACTS)
def _facts(t: Tables, p: Any) -> list[Row]:
    return [facts for key in registry.columns(p, "customers", "assets") if (facts := _facts_of(t, p, *key)) is not None]


def _facts_of(t: Tables, p: Any, customer_id: CustomerId, code: str) -> Row | None:
    account, rule = t.get("accounts", customer_id, code), t.get("rules", customer_id, code)
    state, asset = t.get("rule_states", customer_id, code), t.get("assets", code)
    if account is None or rule is None or state is None or asset is None:
        return None
    card = t.get("cards", customer_id, rule["card_id"])
    assert card is not None
    backup = None if rule["backup_card_id"] is None else t.get("cards", customer_id, rule["backup_card_id"])
    if card["state"] != "active" and backup is not None and backup["state"] == "active":
        card = backup
    automatic = [row for row in t.all("top_ups") if row["customer_id"] == customer_id and row["asset"] == code
                 and row["kind"] == "automatic"]  # fmt: skip
    others = [row for row in automatic if row["top_up_id"] != p["without"]]
    counted = [row for row in others if row["currency"] == rule["currency"] and row["limit_month"] == p["month"]
               and (row["state"] not in _OUT or row["balance_after"] is not None)]  # fmt: skip
    latest = max(automatic, key=lambda row: row["requested_at"], default=None)
    consent = t.get("consents", customer_id, rule["consent_id"])
    assert consent is not None
    bounds = [minor for minor in (rule["day_limit_minor"], consent["exposure_day_minor"]) if minor is not None]
    days = [(row["confirmed_at"] or row["requested_at"], row) for row in others
            if row["currency"] == rule["currency"]
            and (row["state"] not in _OUT or row["balance_after"] is not None)]  # fmt: skip
    lately = [row for moment, row in days if moment > p["day_ago"]]
    day = sorted((moment, row["amount_minor"]) for moment, row in days if moment > p["day_ago"])
    price = wallets.rate_of(t, code, rule["currency"], p["now"])
    left = latest and (latest["balance_after"] if latest["available_after"] is None else latest["available_after"])
    return {
        "customer_id": customer_id,
        "asset": code,
        "available": account["balance"] - account["held"],
        "seq": account["seq"],
        "promotional_counts": rule["promotional_counts"],
        "scale": asset["scale"],
        "is_currency": asset["kind"] == "currency",
        **{name: rule[name] for name in ("enabled", "version", "currency", "amount_minor", "limit_minor",
                                         "charge_max_minor", "target", "least_minor", "consent_id",
                                         "lasts_days", "ask_above_minor", "ask_after")},
        "card_id": card["card_id"],
        "threshold": state["threshold"],
        "brake": bool(rule["brake"]),
        "day_unasked": sum(row["asked"] is None for row in lately),
        "approved_unusual": any(row["asked"] == "unusual_use" and row["balance_after"] is not None for row in lately),
        "day_limit_minor": min(bounds) if bounds else None,
        "day_moments": [moment for moment, _ in day],
        "day_amounts": [minor for _, minor in day],
        "paused": state["pause_reason"],
        **{name: state[name] for name in ("not_before", "reason", "wake_at")},
        "card_usable": card["state"] == "active",
        "consent_stands": _covers(t, rule),
        **{name: None if price is None else price[name] for name in ("rate", "rate_per")},
        "agreed_rate": rule["rate"],
        "agreed_per": rule["rate_per"],
        "spent_minor": sum(row["amount_minor"] for row in counted),
        "recent": sorted(row["requested_at"] for row in automatic if row["requested_at"] > p["hour_ago"]),
        "left_below_at": latest["requested_at"]
        if latest is not None and left is not None and left < state["threshold"] and not latest["cut"]
        else None,
        "live": any(row["ended_at"] is None for row in others),
    }  # fmt: skip


def _covers(t: Tables, rule: Row) -> bool:
    given = t.get("consents", rule["customer_id"], rule["consent_id"])
    same = ("asset", "card_id", "currency", "threshold", "amount_minor", "limit_minor", "lasts_days",
            "ask_above_minor", "ask_after", "brake", "threshold_low", "backup_card_id",
            "promotional_counts")  # fmt: skip
    return (
        given is not None
        and (given["kind"], given["action"]) == ("auto_top_up", "given")
        and all(given[name] == rule[name] for name in same)
        and _withdrawal(t, rule["customer_id"], rule["consent_id"]) is None
    )


@registry.on(auto_top_up.thresholds._FOLLOWING)
def _following(t: Tables, p: Any) -> list[Row]:
    found = []
    for customer_id, code in registry.columns(p, "customers", "assets"):
        rule, state = t.get("rules", customer_id, code), t.get("rule_states", customer_id, code)
        asset = t.get("assets", code)
        if rule is None or state is None or asset is None or not rule["enabled"] or rule["threshold_low"] is None:
            continue
        found.append({"customer_id": customer_id, "asset": code, "low": rule["threshold_low"],
                      "high": rule["threshold"], "in_force": state["threshold"], "scale": asset["scale"]})  # fmt: skip
    return found


@registry.on(auto_top_up.thresholds._SET)
def _set_threshold(t: Tables, p: Any) -> int:
    row = t.get("rule_states", p["customer_id"], p["asset"])
    assert row is not None
    t.update("rule_states", row, threshold=p["threshold"])
    return 1


@registry.on(auto_top_up.thresholds._NOTE)
def _note_threshold(t: Tables, p: Any) -> int:
    if t.get("threshold_changes", p["customer_id"], p["asset"], p["now"]) is not None:
        return 0
    t.insert("threshold_changes", {"changed_at": p["now"], **{
        name: p[name] for name in ("customer_id", "asset", "threshold", "cause", "burn", "time_s")}})  # fmt: skip
    return 1


@registry.on(auto_top_up.evaluate._KEEP)
def _keep(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, asset, reason, wake_at in registry.columns(p, "customers", "assets", "reasons", "wakes"):
        row = t.get("rule_states", customer_id, asset)
        if row is not None and (row["reason"], row["wake_at"]) != (reason, wake_at):
            reason_at = row["reason_at"] if row["reason"] == reason else p["now"]
            t.update("rule_states", row, reason=reason, wake_at=wake_at, reason_at=reason_at)
            changed += 1
    return changed


@registry.on(auto_top_up.pauses._PAUSE)
def _pause(t: Tables, p: Any) -> int:
    row, rule = (t.get(table, p["customer_id"], p["asset"]) for table in ("rule_states", "rules"))
    if row is None or rule is None or row["paused_at"] is not None or p["card_id"] not in {
        None, rule["card_id"], rule["backup_card_id"]
    }:  # fmt: skip
        return 0
    t.update("rule_states", row, paused_at=p["now"], pause_reason=p["reason"])
    return 1


@registry.on(auto_top_up.pauses._TOUCHED)
def _touched(t: Tables, p: Any) -> list[Row]:
    found = []
    for rule in sorted(t.where("rules", customer_id=p["customer_id"], enabled=True), key=lambda row: row["asset"]):
        account = t.get("accounts", p["customer_id"], rule["asset"])
        state = t.get("rule_states", p["customer_id"], rule["asset"])
        assert account is not None
        assert state is not None
        below = account["balance"] - account["held"] < state["threshold"]
        by_card = p["card_id"] is not None and p["card_id"] in {rule["card_id"], rule["backup_card_id"]}
        found.append({"asset": rule["asset"], "by_card": by_card, "below": below})
    return found


@registry.on("UPDATE rule_states SET not_before = greatest(not_before, %s) WHERE customer_id = %s AND asset = %s")
def _not_before(t: Tables, p: Any) -> int:
    row = t.get("rule_states", p[1], p[2])
    if row is None:
        return 0
    t.update("rule_states", row, not_before=p[0] if row["not_before"] is None else max(row["not_before"], p[0]))
    return 1


@registry.on(auto_top_up.pauses._USING)
def _using(t: Tables, p: Any) -> list[Row]:
    found = []
    for rule in sorted(t.where("rules", customer_id=p["customer_id"], enabled=True), key=lambda row: row["asset"]):
        both = [rule["card_id"], rule["backup_card_id"]]
        if p["card_id"] in both:
            other = both[1] if p["card_id"] == both[0] else both[0]
            card = None if other is None else t.get("cards", p["customer_id"], other)
            found.append({"asset": rule["asset"], "goes_on": card is not None and card["state"] == "active"})
    return found


@registry.on(cards.consents._CARDS)
def _cards_of(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("consents", *p))


@registry.on(auto_top_up.evaluate._OVERDUE)
def _overdue(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.all("rule_states") if row["wake_at"] is not None and row["wake_at"] <= p[0]]
    return sorted(rows, key=lambda row: row["wake_at"])[: p[1]]
