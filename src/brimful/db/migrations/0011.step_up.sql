-- A code by mail, asked for before a card or a consent is changed.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

ALTER TABLE portal_sessions ADD COLUMN stepped_up_at timestamptz;

CREATE TABLE step_up_codes (
    session_id text NOT NULL REFERENCES portal_sessions ON DELETE CASCADE,
    sent_at timestamptz NOT NULL,
    customer_id text NOT NULL,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    expires_at timestamptz NOT NULL,
    tries integer NOT NULL,
    PRIMARY KEY (session_id, sent_at)
);

CREATE INDEX step_up_codes_recent ON step_up_codes (customer_id, sent_at);

REVOKE SELECT ON step_up_codes FROM brimful_api, brimful_engine;
GRANT INSERT, UPDATE ON step_up_codes TO brimful_portal;

RESET ROLE;
