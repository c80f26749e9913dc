-- What a rule may charge at once, up to which balance, and in any 24 hours. All of it is part of the consent; a rule from
-- before means what it meant: one amount, no target, no day's limit.
SET LOCAL ROLE brimful_owner;

ALTER TABLE consents
    ADD COLUMN charge_max_minor bigint CHECK (charge_max_minor >= amount_minor),
    ADD COLUMN target numeric(38, 12) CHECK (target > threshold),
    ADD COLUMN day_limit_minor bigint CHECK (day_limit_minor > 0),
    ADD COLUMN exposure_day_minor bigint;  -- what was stated as the most in any 24 hours
ALTER TABLE rules
    ADD COLUMN charge_max_minor bigint CHECK (charge_max_minor BETWEEN amount_minor AND limit_minor),
    ADD COLUMN target numeric(38, 12) CHECK (target > threshold),
    ADD COLUMN day_limit_minor bigint CHECK (day_limit_minor >= coalesce(charge_max_minor, amount_minor)),
    ADD COLUMN least_minor bigint CHECK (least_minor > 0);  -- the platform's, when it was saved
ALTER TABLE top_ups ADD COLUMN cut boolean NOT NULL DEFAULT false;  -- less than the rule wanted

CREATE OR REPLACE VIEW broken_i10 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND ((p.card_id, p.currency) IS DISTINCT FROM (c.card_id, c.currency)
        OR p.amount_minor > coalesce(c.charge_max_minor, c.amount_minor));

-- No more was charged in any 24 hours than was stated when the customer agreed.
CREATE VIEW broken_i14 AS
SELECT t.customer_id, t.top_up_id
FROM top_ups AS t
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND t.confirmed_at IS NOT NULL AND c.exposure_day_minor < (
    SELECT sum(o.amount_minor) FROM top_ups AS o
    WHERE o.customer_id = t.customer_id AND o.asset = t.asset AND o.kind = 'automatic' AND o.consent_id = t.consent_id
        AND o.confirmed_at > t.confirmed_at - interval '24 hours' AND o.confirmed_at <= t.confirmed_at
        AND (o.state NOT IN ('failed', 'canceled') OR o.balance_after IS NOT NULL)
);

GRANT SELECT ON broken_i14 TO brimful_engine;

RESET ROLE;
