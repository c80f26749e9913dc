-- The portal, finished: languages, letters, receipts, and a link that can only turn a rule off.
SET LOCAL ROLE brimful_owner;

SET LOCAL lock_timeout = '5s';

ALTER TABLE customers ADD COLUMN locale text CHECK (locale ~ '^[a-z]{2}$');

GRANT UPDATE (locale) ON customers TO brimful_portal;

ALTER TABLE portal_sessions ADD COLUMN locale text CHECK (locale ~ '^[a-z]{2}$');

ALTER TABLE portal_links DROP CONSTRAINT portal_links_kind_check,
    ADD CONSTRAINT portal_links_kind_check CHECK (kind IN ('portal', 'payment', 'turn_off')),
    DROP CONSTRAINT portal_links_flow_check,
    ADD CONSTRAINT portal_links_flow_check
        CHECK (flow IN ('overview', 'top_up', 'auto_top_up', 'cards', 'pay', 'turn_off')),
    ADD CONSTRAINT portal_links_turn_off CHECK (kind <> 'turn_off' OR asset IS NOT NULL);

ALTER TABLE portal_sessions DROP CONSTRAINT portal_sessions_kind_check,
    ADD CONSTRAINT portal_sessions_kind_check CHECK (kind IN ('portal', 'payment', 'turn_off'));

-- Stripe's own receipt of a payment, where there is one.
ALTER TABLE payments ADD COLUMN receipt_url text;

-- For which month of expiry the customer has been told.
ALTER TABLE cards ADD COLUMN expiry_told date;

CREATE INDEX cards_expiring ON cards (exp_year, exp_month) WHERE state = 'active';

-- Letters to customers, one per event at most. The address is kept only where it is not the customer's own
-- any more: the old one is told that it was changed.
CREATE TABLE letters (
    customer_id text NOT NULL REFERENCES customers,
    event_id text NOT NULL,
    address text CHECK (length(address) <= 320),
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    PRIMARY KEY (customer_id, event_id)
);

REVOKE SELECT ON letters FROM brimful_portal;

GRANT INSERT ON letters TO brimful_api;

GRANT INSERT, UPDATE ON letters TO brimful_engine;

RESET ROLE;
