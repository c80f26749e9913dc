"""Guards and how each is removed: what stands in the code, what stands there without it, and who must notice."""

import dataclasses

SIMULATION = (
    "tests/simulation/test_simulation.py::test_short_histories_hold_every_invariant_and_meet_every_kind_of_fault"
)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One guard removed. `named` ones stand in the fault list; each of those must die."""

    row: str
    name: str
    file: str
    old: str
    new: str
    judges: tuple[str, ...]
    named: bool = True


def m(row, name, file, old, new, *judges, named=True):
    return Mutant(row, name, f"src/brimful/{file}", old, new, judges, named)


PAYING = "tests/flows/test_paying.py"
ODD = "tests/flows/test_odd_ends.py"
RULE = "tests/flows/test_the_rule.py"
BACK = "tests/flows/test_reversals.py"
CROSS = "tests/flows/test_crossing.py"
COMPARE = "tests/flows/test_reconcile.py"
POLICY = "tests/rooms/test_policy.py"
DECIDE = "tests/rooms/test_decide.py"
FAULTS = "tests/flows/test_faults.py"
INBOX = "tests/flows/test_inbox.py"

GUARDS = (
    m("F1", "one live automatic top-up: the unique index", "db/migrations/0003.schema.sql",
      "CREATE UNIQUE INDEX top_ups_one_live_automatic ON top_ups (customer_id, asset)\n"
      "    WHERE kind = 'automatic' AND ended_at IS NULL;",
      "CREATE INDEX top_ups_one_live_automatic ON top_ups (customer_id, asset)\n"
      "    WHERE kind = 'automatic' AND ended_at IS NULL;", f"{CROSS}::test_two_racing_requests_without_any_lock_make_one_top_up"),
    m("F5, F9", "a credit is unique per payment: the look-up", "paying/settle.py",
      "    if await ledger.find_known(tx, [key]):\n        return\n", "", PAYING, SIMULATION),
    m("F9", "an entry's key is unique", "db/migrations/0003.schema.sql",
      "    UNIQUE (customer_id, source, key),\n", "", f"{FAULTS}::test_an_entrys_key_is_unique_in_the_database_too"),
    m("F9, F13", "the inbox takes an event once", "stripe_inbox.py",
      "        if await tx.execute(_INSERT, values):\n", "        await tx.execute(_INSERT, values)\n        if True:\n",
      f"{INBOX}::test_a_hundred_copies_of_one_event_are_one_job"),
    m("F10", "ends are absorbing", "paying/settle.py",
      "    elif fresh.closed_at is not None or not top_up.live:\n        return\n", "", SIMULATION, PAYING),
    m("F12", "the signature", "payments/stripe.py",
      "    if not any(_signed(payload, signature, secret) for secret in secrets) or _from_future(signature):\n"
      "        return None\n", "", f"{INBOX}::test_an_event_with_any_byte_changed_is_refused"),
    m("F12", "an event from the future", "payments/stripe.py", " or _from_future(signature)", "",
      f"{INBOX}::test_an_event_from_the_future_or_the_past_is_refused"),
    m("F14", "amount, currency, mode and name of a payment", "paying/settle.py",
      "    if not _ours(till, fresh, reading):\n", "    if False:\n",
      f"{INBOX}::test_a_payment_of_another_amount_currency_or_mode_is_not_credited"),
    m("F14", "events of the wrong mode", "stripe_inbox.py",
      '    if event["livemode"] != till.gateway.livemode:\n', "    if False:\n",
      f"{INBOX}::test_an_event_of_the_wrong_mode_is_quarantined"),
    m("F16", "a confirmation expires", "paying/resolve.py",
      "        if top_up.expires_at is None or await tx.now() < top_up.expires_at:\n", "        if True:\n",
      f"{PAYING}::test_a_confirmation_that_never_comes_expires_and_pauses"),
    m("F16, F47", "an expired confirmation pauses", "paying/settle.py",
      '    if top_up.kind == "automatic" and top_up.reason == "confirmation_expired":\n', "    if False:\n",
      f"{PAYING}::test_a_confirmation_that_never_comes_expires_and_pauses"),
    m("F17", "a card's budget", "cards/tries.py",
      'count["declined"] >= DECLINES_MAX', "False", f"{PAYING}::test_a_card_is_declined_at_most_eight_times_in_thirty_days_over_all_customers",
      f"{ODD}::test_the_budget_counts_open_claims_and_gives_them_back"),
    m("F17", "open claims count", "cards/tries.py",
      '    if count["declined"] + count["open"] >= DECLINES_MAX:\n        return Claim.BUSY\n', "",
      f"{ODD}::test_the_budget_counts_open_claims_and_gives_them_back"),
    m("F17", "a decline is counted on its card", "paying/settle.py",
      "    await cards.tries.declined(tx, payment.payment_id, hard=hard)\n", "",
      f"{PAYING}::test_a_card_is_declined_at_most_eight_times_in_thirty_days_over_all_customers", SIMULATION),
    m("F17", "three tries at most", "paying/settle.py",
      "elif kind is DeclineKind.SOFT and tries <= len(till.retry_waits):", "elif kind is DeclineKind.SOFT and tries <= 9:",
      PAYING),
    m("F17", "a decline pauses in the end", "paying/settle.py",
      '    if pause_reason is not None and top_up.kind == "automatic":\n', "    if False:\n",
      f"{PAYING}::test_a_soft_decline_is_tried_three_times_hours_apart_then_paused"),
    m("F18", "a hard decline blocks the card", "paying/settle.py",
      "    if kind is DeclineKind.HARD:\n        await _lose_card(till, tx, payment, decline.reason)\n", "",
      f"{PAYING}::test_a_hard_decline_is_never_tried_again_and_blocks_the_card"),
    m("F18", "the plastic itself is forbidden", "paying/pay.py",
      "spent = claim is cards.tries.Claim.SPENT or await cards.tries.forbidden(tx, card.fingerprint)",
      "spent = claim is cards.tries.Claim.SPENT", f"{ODD}::test_the_same_plastic_saved_again_is_not_charged_after_a_hard_decline"),
    m("F18", "an advice code outranks the table", "payments/declines.py",
      "    if decline.advice_code in _ADVICE:\n        return _ADVICE[decline.advice_code]\n", "", "tests/rooms/test_declines.py"),
    m("F20, F21, F45", "a top-up that waits gives way", "auto_topup/trigger.py",
      "    if await _end_superseded(tx, standings):\n", "    if False:\n",
      f"{RULE}::test_other_settings_replace_a_top_up_that_waits", f"{RULE}::test_turned_off_before_it_is_sent_nothing_is_charged"),
    m("F20, F46", "the rule is read again before the charge", "paying/pay.py",
      "    reason = superseded(standing.facts, top_up.rule_version)\n", "    reason = None\n",
      f"{FAULTS}::test_what_changed_behind_the_engines_back_is_seen_before_the_charge"),
    m("F33", "the limit is checked again before the charge", "paying/pay.py",
      "    if reason is None and not fits_limit(standing.facts, top_up.amount_minor):\n", "    if False:\n",
      f"{FAULTS}::test_the_limit_is_checked_again_in_the_month_of_the_charge"),
    m("F33", "the limit", "auto_topup/policy.py",
      "    if not fits_limit(facts, facts.amount_minor):\n", "    if False:\n", POLICY),
    m("F32", "the pace in an hour", "auto_topup/policy.py",
      "    if len(facts.recent) >= pace.per_hour:\n", "    if False:\n", POLICY),
    m("F32", "the spacing while a credit leaves it below", "auto_topup/policy.py",
      "    if facts.left_below_at is not None and facts.left_below_at + pace.spacing > now:\n", "    if False:\n", POLICY),
    m("F22", "a refund is booked once", "paying/reversal.py",
      "    if await _written(tx, payment, key):\n        return False\n", "", f"{FAULTS}::test_a_refund_read_twice_is_booked_once"),
    m("F22", "a refund that failed comes back", "paying/reversal.py",
      '    gone = reading.status not in {"failed", "canceled"}\n', "    gone = True\n",
      f"{BACK}::test_a_refund_that_fails_later_is_credited_back"),
    m("F23, F47", "a refund pauses what it leaves below its line", "paying/reversal.py",
      "    if moved and gone:\n", "    if False:\n", f"{BACK}::test_a_refund_made_at_stripe_takes_the_units_back_once_and_pauses"),
    m("F23", "a disputed card is blocked", "paying/reversal.py",
      "        await cards.block(tx, payment.customer_id, card_id, reason)\n", "        pass\n",
      f"{BACK}::test_a_dispute_moves_the_money_once_each_way_and_blocks_its_card"),
    m("F23", "a dispute pauses", "paying/reversal.py",
      "    await pause_after_reversal(tx, payment.customer_id, card_id, reason, till.pace)\n", "",
      f"{BACK}::test_an_inquiry_moves_no_money_and_still_pauses"),
    m("F26", "held when the database went back", "epochs.py",
      '        elif row["beat"] < latest:\n', "        elif False:\n", f"{COMPARE}::test_an_old_copy_is_restored_and_every_payment_is_found_again"),
    m("F26", "lost payments are booked again", "reconcile.py",
      "        missing = await _rebuild(till, tx, intent)\n", "        missing = None\n",
      f"{COMPARE}::test_an_old_copy_is_restored_and_every_payment_is_found_again"),
    m("F27", "unsafe settings are refused", "db/migrate.py",
      'if row is not None and row[0] == "off" and not allow_unsafe:', "if False:", "tests/rooms/test_embedded.py", FAULTS),
    m("F29", "the fence", "topups/store.py", "        AND fence = %(fence)s AND ended_at IS NULL\n", "        AND ended_at IS NULL\n",
      f"{FAULTS}::test_a_zombie_that_read_an_older_fence_moves_nothing"),
    m("F29", "a payment's own guard", "topups/store.py",
      "    WHERE customer_id = %(customer_id)s AND payment_id = %(payment_id)s AND state = %(from_state)s\n",
      "    WHERE customer_id = %(customer_id)s AND payment_id = %(payment_id)s\n",
      f"{FAULTS}::test_a_zombie_that_read_an_older_payment_changes_nothing"),
    m("F3", "a lost create is looked for before it is left", "paying/create.py",
      '        if intent.metadata.get("payment_id") == payment.payment_id:\n', "        if False:\n",
      f"{FAULTS}::test_a_create_whose_answer_was_lost_for_a_day_is_found_by_list"),
    m("F3", "a key older than a day is not trusted", "paying/create.py",
      "    if now - payment.created_at > _KEY_LIFE:\n", "    if False:\n",
      f"{FAULTS}::test_a_create_whose_answer_was_lost_for_a_day_is_found_by_list"),
    m("F7, F4", "an unknown outcome is read, not guessed", "paying/pay.py",
      '        await topups.move(tx, top_up, "unknown", wake_in_s=0 if not answer.unknown else 5)\n',
      '        await topups.move(tx, top_up, "canceling", wake_in_s=0, next_state="retry_wait", reason="not_sent")\n'
      '        await topups.save_payment(tx, payment, state="canceled")\n', PAYING, SIMULATION),
    m("F7", "a confirmation on its way is left alone", "paying/settle.py",
      '    if decline is None and (top_up.state == "action_required" or await _in_flight(tx, top_up, payment)):\n',
      '    if decline is None and top_up.state == "action_required":\n',
      f"{FAULTS}::test_a_confirmation_on_its_way_is_left_alone_for_a_minute"),
    m("F7, F17", "a decline that came meanwhile counts", "paying/settle.py",
      '    if decline is not None and top_up.state == "canceling":\n        top_up, payment =',
      "    if False:\n        top_up, payment =", f"{FAULTS}::test_a_decline_that_came_while_its_payment_was_taken_back_counts"),
    m("F34", "Stripe's minimum", "money.py", "    if not shape.minimum_minor <= minor <= CHARGE_MINOR_MAX:\n", "    if minor > CHARGE_MINOR_MAX:\n", "tests/rooms/test_money.py"),
    m("F35", "an error of ours is counted, and set aside", "topups/store.py",
      "        needs_review = needs_review OR failures + 1 >= %(most)s\n", "        needs_review = needs_review\n",
      f"{FAULTS}::test_a_poison_top_up_is_set_aside_and_others_go_on"),
    m("F36", "the provider's rate", "payments/limits.py", "        if wait_s > 0:\n", "        if False:\n",
      f"{FAULTS}::test_calls_keep_to_the_rate_in_all_and_on_each_endpoint"),
    m("F37", "silence while nobody answers", "payments/limits.py",
      "        if not self.reachable:\n            return False\n", "", f"{FAULTS}::test_a_breaker_opens_probes_and_closes"),
    m("F37", "polls do not fall asleep", "topups/store.py",
      "_POLLS_S = (5, 15, 30, 60, 120, 300)\n", "_POLLS_S = (5, 15, 30, 60, 120, 86400)\n",
      f"{FAULTS}::test_stripe_is_down_for_six_hours_and_the_drain_is_quick"),
    m("F38", "a refused key holds charging", "paying/till.py",
      '        await charging.hold(tx, "key", f"Stripe refuses the platform\'s key: {answer.message}", actor="stripe")\n',
      "        pass\n", f"{PAYING}::test_a_key_that_stripe_refuses_holds_charging_with_one_reason"),
    m("F38", "held means held", "charging.py",
      '    if await tx.one("SELECT kind FROM charging_holds LIMIT 1") is None:\n', "    if True:\n",
      f"{COMPARE}::test_an_operator_stops_charging_and_starts_it_again"),
    m("F43", "a key with another amount is refused", "usage/decide.py",
      "    if (before.kind, before.asset, before.amount) == (movement.kind, movement.asset, movement.amount):\n",
      "    if True:\n", DECIDE, SIMULATION),
    m("F48", "a bad row stands alone", "usage/record.py",
      "        half = len(movements) // 2\n", "        return [_FAILED] * len(movements)\n        half = 0\n",
      f"{CROSS}::test_a_row_the_database_refuses_does_not_fail_its_neighbours"),
    m("F48", "keys are read after the lock", "usage/decide.py",
      "        before = known.get(key) or first.get(key)\n", "        before = first.get(key)\n", DECIDE, SIMULATION),
    m("F49", "a refused create ends and pauses", "paying/create.py",
      '            await pause(tx, top_up.customer_id, top_up.asset, f"refused:{code}")\n', "            pass\n",
      f"{PAYING}::test_a_refused_create_ends_and_pauses_instead_of_looping"),
    m("F50", "what comes next is stored with the decline", "paying/settle.py",
      "    ended = await topups.move(tx, top_up, top_up.next_state)\n", '    ended = await topups.move(tx, top_up, "canceled")\n',
      PAYING),
    m("F51", "a wait wakes by itself", "auto_topup/trigger.py",
      "            await jobs.defer(tx, jobs.Name.JUDGE, [arguments], at=verdict.wake_at)\n", "            pass\n",
      f"{FAULTS}::test_a_wait_wakes_by_its_job"),
    m("F51", "and by the sweep", "worker.py",
      "        keys = {*await auto_topup.overdue_waits(tx, limit=_SWEEP_MAX)}\n", "        keys = set()\n",
      f"{FAULTS}::test_a_wait_wakes_by_the_sweep_when_its_job_is_lost"),
    m("F11", "the sweep finds what was lost", "worker.py",
      "        due = await topups.due(tx, late_s=_LATE_S, limit=_SWEEP_MAX)\n", "        due = []\n",
      f"{FAULTS}::test_losing_every_job_costs_time_and_nothing_else"),
    m("F42", "judged again after a credit", "paying/settle.py",
      "        await tell_limit_near(tx, account.key, top_up.amount_minor)\n    await rearm(tx, [account.key], till.pace)\n",
      "        await tell_limit_near(tx, account.key, top_up.amount_minor)\n", RULE, SIMULATION),
    m("I9", "the consent covers the numbers", "auto_topup/policy.py",
      "    if not facts.consent_stands:\n        return Reason.NO_CONSENT\n    if not facts.card_usable:\n        return Reason.CARD_UNAVAILABLE\n    return None\n\n\ndef _wait",
      "    if not facts.card_usable:\n        return Reason.CARD_UNAVAILABLE\n    return None\n\n\ndef _wait", POLICY),
    m("I9", "a tick is needed to turn on", "auto_topup/rules.py",
      "    if needs_consent(before, form) and not form.agreed:\n", "    if False:\n", f"{RULE}::test_nothing_is_turned_on_without_the_tick_or_for_other_numbers_than_shown"),
    m("I1", "the mac of an entry", "ledger/chain.py",
      "        return hmac.compare_digest(mac, self._mac(mac[0], previous, content))\n", "        return True\n",
      "tests/rooms/test_verify.py"),
    m("I1", "a signed mark", "verify.py",
      '    if not keyring.recognises(bytes(row["signature"]), b"mark", place):\n        return _EMPTY\n', "",
      "tests/rooms/test_verify.py"),
    m("-", "an overtaken job does not look again", "paying/pay.py",
      "                if only_if_due and turn == 0 and early:\n", "                if False:\n",
      "tests/simulation/test_simulation.py::test_what_once_failed_holds", named=False),
    m("-", "strictly below the line", "auto_topup/policy.py", "return self.balance < self.threshold", "return self.balance <= self.threshold",
      "tests/flows/test_a_wallet_tops_itself_up.py", POLICY, named=False),
    m("-", "a charge needs the balance", "usage/decide.py",
      "elif movement.covered_only and balance + movement.amount < 0:", "elif False:", DECIDE, "tests/flows/test_api.py", named=False),
    m("-", "units are rounded down", "money.py", "rounding=decimal.ROUND_DOWN", "rounding=decimal.ROUND_UP", "tests/rooms/test_money.py", named=False),
    m("-", "parts of a refund sum to the whole", "money.py", "    return min(rounded, units)\n", "    return exact\n", BACK, named=False),
    m("-", "another brand pauses", "stripe_inbox.py", "        if after.brand != before.brand:\n", "        if False:\n", BACK, named=False),
    m("-", "a refund needs its scope", "api/routes/top_ups.py", 'refund_router = router_for("Top-ups", "refunds")', 'refund_router = router_for("Top-ups", "top_ups")',
      BACK, named=False),
)  # fmt: skip
