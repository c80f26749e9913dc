-- Limits against card testing, and one right less.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

-- Cards that one address is about to add, an hour's window each. The address is a hash, and is forgotten after two hours.
CREATE TABLE card_attempts (
    address_hash bytea NOT NULL CHECK (octet_length(address_hash) = 32),
    hour timestamptz NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (address_hash, hour)
);

REVOKE SELECT ON card_attempts FROM brimful_api;
GRANT INSERT, UPDATE ON card_attempts TO brimful_portal;
GRANT DELETE ON card_attempts TO brimful_engine;

-- What of the last hour's cards failed, and what was added. Where these tables are large already, make the indexes
-- CONCURRENTLY first (docs/operate/upgrade.md).
CREATE INDEX IF NOT EXISTS stripe_events_setup_failed ON stripe_events (received_at) WHERE type = 'setup_intent.setup_failed';
CREATE INDEX IF NOT EXISTS card_setups_completed ON card_setups (created_at) WHERE state = 'completed';

-- The portal decides who is told of an event; how it is signed is none of its business.
REVOKE SELECT ON webhook_endpoints FROM brimful_portal;
GRANT SELECT (endpoint_id, enabled, topics) ON webhook_endpoints TO brimful_portal;

RESET ROLE;
