-- A rule may ask its customer before it charges: above a sum, after a number of charges, when use is far beyond the
-- account's own past. And a charge may be what lasts some days. A rule from before asks nothing and adds amounts.
SET LOCAL ROLE brimful_owner;

ALTER TABLE consents
    ADD COLUMN lasts_days integer CHECK (lasts_days > 0),
    ADD COLUMN ask_above_minor bigint CHECK (ask_above_minor > 0),
    ADD COLUMN ask_after integer CHECK (ask_after > 0),
    ADD COLUMN brake boolean;
ALTER TABLE rules
    ADD COLUMN lasts_days integer CHECK (lasts_days > 0),
    ADD COLUMN ask_above_minor bigint CHECK (ask_above_minor > 0),
    ADD COLUMN ask_after integer CHECK (ask_after > 0),
    ADD COLUMN brake boolean,
    ADD CHECK (lasts_days IS NULL OR target IS NULL);
-- Why its customer was asked first; such a top-up is paid with them present, or not at all.
ALTER TABLE top_ups ADD COLUMN asked text CHECK (asked IN ('large_charge', 'many_charges', 'unusual_use'));

CREATE OR REPLACE VIEW broken_i14 AS
SELECT t.customer_id, t.top_up_id
FROM top_ups AS t
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND t.confirmed_at IS NOT NULL AND c.exposure_day_minor < (
    SELECT sum(o.amount_minor) FROM top_ups AS o
    WHERE o.customer_id = t.customer_id AND o.asset = t.asset AND o.kind = 'automatic' AND o.consent_id = t.consent_id
        AND o.confirmed_at > t.confirmed_at - interval '24 hours' AND o.confirmed_at <= t.confirmed_at
        AND (o.state NOT IN ('failed', 'canceled') OR o.balance_after IS NOT NULL)
)
UNION
SELECT t.customer_id, t.top_up_id
FROM top_ups AS t
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND t.asked IS NULL AND t.confirmed_at IS NOT NULL AND (
    t.amount_minor > c.ask_above_minor OR c.ask_after < (
        SELECT count(*) FROM top_ups AS o
        WHERE o.customer_id = t.customer_id AND o.asset = t.asset AND o.kind = 'automatic'
            AND o.consent_id = t.consent_id AND o.asked IS NULL
            AND o.confirmed_at > t.confirmed_at - interval '24 hours' AND o.confirmed_at <= t.confirmed_at
            AND (o.state NOT IN ('failed', 'canceled') OR o.balance_after IS NOT NULL)
    )
)
UNION
SELECT t.customer_id, t.top_up_id
FROM top_ups AS t
JOIN payments AS p ON p.customer_id = t.customer_id AND p.top_up_id = t.top_up_id
WHERE t.asked IS NOT NULL AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL;

RESET ROLE;
