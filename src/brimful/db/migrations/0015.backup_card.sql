-- A second card, agreed to with the first: tried in the same top-up where the first is declined, and charged alone while
-- the first cannot be.
SET LOCAL ROLE brimful_owner;

ALTER TABLE consents ADD COLUMN backup_card_id text CHECK (backup_card_id <> card_id);
ALTER TABLE rules ADD COLUMN backup_card_id text CHECK (backup_card_id <> card_id),
    ADD FOREIGN KEY (customer_id, backup_card_id) REFERENCES cards (customer_id, card_id);

CREATE OR REPLACE VIEW broken_i10 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND (NOT coalesce(p.card_id IN (c.card_id, coalesce(c.backup_card_id, c.card_id)), false)
        OR p.currency IS DISTINCT FROM c.currency
        OR p.amount_minor > coalesce(c.charge_max_minor, c.amount_minor));

RESET ROLE;
