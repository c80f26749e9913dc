-- What a payment asked of Stripe is kept: a key repeats what was sent under it, so a later release must send the same.
-- What a customer is called at Stripe is brought up to date by a job. An event says what it is about before anything is
-- read, and objects at Stripe name the installation that made them: others share the account.
SET LOCAL ROLE brimful_owner;

ALTER TABLE payments ADD COLUMN request jsonb;

CREATE TABLE installation_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key text NOT NULL DEFAULT 'ins_' || replace(gen_random_uuid()::text, '-', '') CHECK (length(key) BETWEEN 8 AND 60)
);

INSERT INTO installation_key DEFAULT VALUES;

ALTER TABLE stripe_events ADD COLUMN intent_id text, ADD COLUMN installation text;

-- What can still change at Stripe is read again until it is final.
ALTER TABLE disputes ADD COLUMN read_at timestamptz;
-- Until then evidence can be handed in at Stripe.
ALTER TABLE disputes ADD COLUMN evidence_due_at timestamptz;
ALTER TABLE refunds ADD COLUMN read_at timestamptz;
CREATE INDEX disputes_open ON disputes (read_at NULLS FIRST) WHERE closed_at IS NULL;
UPDATE refunds SET wake_at = NULL WHERE closed_at IS NOT NULL AND wake_at IS NOT NULL;  -- left by a late poll
CREATE INDEX refunds_young ON refunds (created_at) WHERE state IN ('pending', 'succeeded');

-- A decline may be about a card's data (this expiry), about its plastic, or come from a dispute, which never expires.
ALTER TABLE card_tries DROP CONSTRAINT card_tries_state_check, ADD COLUMN expiry text;
ALTER TABLE card_tries ADD CONSTRAINT card_tries_state_check
    CHECK (state IN ('open', 'declined', 'hard', 'data', 'disputed'));
CREATE INDEX cards_by_fingerprint ON cards (fingerprint) WHERE state = 'active';

-- What a call of a model costs, as little as 0.0000135 dollars, fits. Where there is a balance already, nothing changes.
UPDATE assets SET scale = 9 WHERE kind = 'currency' AND scale < 9
    AND NOT EXISTS (SELECT FROM accounts WHERE accounts.asset = assets.code);

-- A caller's idempotency key is theirs alone, may be claimed before it has an answer, and is forgotten after a day.
ALTER TABLE idempotency ADD COLUMN key_id text NOT NULL DEFAULT '', DROP CONSTRAINT idempotency_pkey;
ALTER TABLE idempotency ADD PRIMARY KEY (key_id, route, key);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
GRANT UPDATE (status, response), DELETE ON idempotency TO brimful_api;

-- A planned price can be taken back.
GRANT DELETE ON rates TO brimful_api;

GRANT SELECT ON installation_key TO brimful_api, brimful_portal, brimful_engine;

-- A dispute is known by its kind and by the key that we gave its entry, never by the form of Stripe's id.
CREATE OR REPLACE VIEW broken_i2 AS
WITH taken AS (
    SELECT currency, sum(amount_minor) AS minor FROM payments WHERE state = 'succeeded' GROUP BY currency
), refunded AS (
    SELECT currency, sum(amount_minor) AS minor FROM refunds WHERE state IN ('pending', 'succeeded') GROUP BY currency
), disputed AS (
    SELECT currency, -sum(money_minor) AS minor FROM entries
    WHERE payment_id IS NOT NULL AND (kind = 'dispute' OR (kind = 'reinstatement' AND key LIKE '%:reinstated'))
    GROUP BY currency
), booked AS (
    SELECT currency, sum(money_minor) AS minor FROM entries WHERE payment_id IS NOT NULL GROUP BY currency
)
SELECT currency, coalesce(taken.minor, 0) AS taken, coalesce(refunded.minor, 0) AS refunded,
    coalesce(disputed.minor, 0) AS disputed, coalesce(booked.minor, 0) AS booked
FROM taken FULL JOIN refunded USING (currency) FULL JOIN disputed USING (currency) FULL JOIN booked USING (currency)
WHERE coalesce(taken.minor, 0) - coalesce(refunded.minor, 0) - coalesce(disputed.minor, 0)
    <> coalesce(booked.minor, 0);

RESET ROLE;
