-- The invariants as views: each shows what must not be. `brimful verify` and the metrics read these.
SET LOCAL ROLE brimful_owner;

-- Double entry without a hot row: the kind of an entry names its other side.
CREATE VIEW trial_balance AS
SELECT asset, currency, contra AS account, -sum(amount) AS units, -sum(money_minor) AS money_minor
FROM (
    SELECT asset, currency, amount, money_minor,
        CASE kind WHEN 'usage' THEN 'revenue' WHEN 'charge' THEN 'revenue' WHEN 'adjustment' THEN 'adjustments'
            ELSE 'stripe_clearing' END AS contra
    FROM entries
    UNION ALL
    SELECT asset, NULL, dropped, NULL, 'revenue' FROM archive_marks
) AS sides
GROUP BY asset, currency, contra
UNION ALL
SELECT asset, NULL, 'wallets', sum(balance), NULL FROM accounts GROUP BY asset;

CREATE VIEW broken_i1_holds AS
SELECT a.customer_id, a.asset AS thing, 'held is not the sum of its open holds' AS what
FROM accounts AS a
LEFT JOIN (
    SELECT customer_id, asset, sum(amount) AS amount FROM holds WHERE state = 'open' GROUP BY 1, 2
) AS h ON h.customer_id = a.customer_id AND h.asset = a.asset
WHERE a.held <> coalesce(h.amount, 0)
UNION ALL
SELECT h.customer_id, h.hold_id, 'captured without its entry, or for another amount'
FROM (  -- with the first number of its entry's key, as ledger/keys.py makes it
    SELECT *, -8 & ('x' || encode(substr(sha256(convert_to('hold:' || hold_id, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
        AS digest
    FROM holds
) AS h
LEFT JOIN entries AS e ON e.customer_id = h.customer_id AND e.key_digest BETWEEN h.digest AND h.digest + 7
    AND e.source = 'hold' AND e.key = h.hold_id
WHERE (h.state = 'captured' OR e.key IS NOT NULL) AND (h.captured IS DISTINCT FROM -e.amount OR h.asset <> e.asset)
UNION ALL
SELECT a.customer_id, a.asset, 'no alert was sent below its threshold'
FROM accounts AS a
LEFT JOIN alerts AS l ON l.customer_id = a.customer_id AND l.asset = a.asset
JOIN assets AS s ON s.code = a.asset
WHERE a.alert_below IS DISTINCT FROM
    CASE l.level WHEN 'ok' THEN l.threshold WHEN 'low' THEN power(10::numeric, -s.scale) END
    OR a.balance - a.held < a.alert_below;

CREATE VIEW broken_i2 AS
WITH taken AS (
    SELECT currency, sum(amount_minor) AS minor FROM payments WHERE state = 'succeeded' GROUP BY currency
), refunded AS (
    SELECT currency, sum(amount_minor) AS minor FROM refunds WHERE state IN ('pending', 'succeeded') GROUP BY currency
), disputed AS (
    SELECT currency, -sum(money_minor) AS minor FROM entries
    WHERE payment_id IS NOT NULL AND source = 'stripe' AND key LIKE 'dp\_%' GROUP BY currency
), booked AS (
    SELECT currency, sum(money_minor) AS minor FROM entries WHERE payment_id IS NOT NULL GROUP BY currency
)
SELECT currency, coalesce(taken.minor, 0) AS taken, coalesce(refunded.minor, 0) AS refunded,
    coalesce(disputed.minor, 0) AS disputed, coalesce(booked.minor, 0) AS booked
FROM taken FULL JOIN refunded USING (currency) FULL JOIN disputed USING (currency) FULL JOIN booked USING (currency)
WHERE coalesce(taken.minor, 0) - coalesce(refunded.minor, 0) - coalesce(disputed.minor, 0)
    <> coalesce(booked.minor, 0);

-- A payment whose units were taken back in another proportion than its money.
CREATE VIEW broken_i2_units AS
SELECT p.customer_id, p.payment_id, sum(e.money_minor) AS money_left, sum(e.amount) AS units_left, t.units
FROM entries AS e
JOIN payments AS p ON p.customer_id = e.customer_id AND p.payment_id = e.payment_id
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
WHERE e.payment_id IS NOT NULL
GROUP BY p.customer_id, p.payment_id, p.amount_minor, t.units
HAVING (sum(e.money_minor) = p.amount_minor AND sum(e.amount) <> t.units)
    OR (sum(e.money_minor) <= 0 AND sum(e.amount) <> 0)
    OR sum(e.amount) < 0 OR sum(e.amount) > t.units;

CREATE VIEW broken_i3 AS
SELECT customer_id, asset, count(*) AS live FROM top_ups WHERE kind = 'automatic' AND ended_at IS NULL
GROUP BY customer_id, asset HAVING count(*) > 1;

CREATE VIEW broken_i4 AS
WITH credits AS (
    SELECT customer_id, payment_id, count(*) AS credits FROM entries
    WHERE payment_id IS NOT NULL AND kind = 'top_up' GROUP BY customer_id, payment_id
)
SELECT customer_id, payment_id, p.state, coalesce(c.credits, 0) AS credits
FROM payments AS p FULL JOIN credits AS c USING (customer_id, payment_id)
WHERE coalesce(c.credits, 0) <> CASE p.state WHEN 'succeeded' THEN 1 ELSE 0 END;

CREATE VIEW broken_i5 AS
SELECT customer_id, top_up_id, count(*) AS succeeded FROM payments WHERE state = 'succeeded'
GROUP BY customer_id, top_up_id HAVING count(*) > 1;

-- Counted as the limit promises: by month, what was not released.
CREATE VIEW broken_i8 AS
SELECT t.customer_id, t.top_up_id, t.spent, c.limit_minor
FROM (
    SELECT customer_id, top_up_id, consent_id,
        sum(amount_minor) OVER (PARTITION BY customer_id, asset, currency, limit_month ORDER BY confirmed_at) AS spent
    FROM top_ups
    WHERE kind = 'automatic' AND confirmed_at IS NOT NULL
        AND (state NOT IN ('failed', 'canceled') OR balance_after IS NOT NULL)
) AS t
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.spent > c.limit_minor;

CREATE VIEW broken_i9 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
LEFT JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id AND c.action = 'given'
    AND c.kind = 'auto_top_up' AND c.asset = t.asset
LEFT JOIN consents AS w ON w.customer_id = c.customer_id AND w.withdraws = c.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND (c.consent_id IS NULL OR c.recorded_at > p.confirm_sent_at OR w.recorded_at < p.confirm_sent_at);

CREATE VIEW broken_i10 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND (p.card_id, p.amount_minor, p.currency) IS DISTINCT FROM (c.card_id, c.amount_minor, c.currency);

-- A rule that is on, below its threshold, with neither a live top-up nor a reason; an account whose trigger is not what its
-- rule and the engine's reason say; or a top-up that is not looked after.
CREATE VIEW broken_i12 AS
SELECT r.customer_id, r.asset AS thing, 'below its threshold without a top-up or a reason' AS what
FROM rules AS r
JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE r.enabled AND a.balance - a.held < r.threshold AND s.reason IN ('armed', 'off', 'triggered', 'in_flight')
    AND NOT EXISTS (
        SELECT FROM top_ups AS t
        WHERE t.customer_id = r.customer_id AND t.asset = r.asset AND t.kind = 'automatic' AND t.ended_at IS NULL)
UNION ALL
SELECT a.customer_id, a.asset, 'its trigger differs from its rule'
FROM accounts AS a
LEFT JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
LEFT JOIN rule_states AS s ON s.customer_id = a.customer_id AND s.asset = a.asset
LEFT JOIN top_ups AS t ON t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
    AND t.ended_at IS NULL
WHERE a.trigger_below IS DISTINCT FROM
    CASE WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL THEN r.threshold END
UNION ALL
SELECT customer_id, top_up_id, 'not checked for 15 minutes' FROM top_ups
WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < clock_timestamp() - interval '15 minutes';

RESET ROLE;
