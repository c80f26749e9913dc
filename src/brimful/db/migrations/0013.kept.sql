-- What a session was trusted for, and what is not kept for ever.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

-- The address (a hash) whose mailbox gave the code: trust ends with it.
ALTER TABLE portal_sessions ADD COLUMN stepped_up_for bytea CHECK (octet_length(stepped_up_for) = 32);

-- Sessions and links that are long over are forgotten by the worker. Where these tables are large already, make the
-- indexes CONCURRENTLY first (docs/operate/upgrade.md).
CREATE INDEX IF NOT EXISTS portal_sessions_over ON portal_sessions (expires_at);
CREATE INDEX IF NOT EXISTS portal_sessions_of_link ON portal_sessions (link_id);
CREATE INDEX IF NOT EXISTS portal_links_over ON portal_links (expires_at);
CREATE INDEX IF NOT EXISTS operator_sessions_over ON operator_sessions (expires_at);
GRANT SELECT (session_id, link_id, expires_at), DELETE ON portal_sessions TO brimful_engine;
GRANT DELETE ON portal_links, operator_sessions TO brimful_engine;

-- An operator may end what a customer has open, and open nothing.
GRANT SELECT (customer_id, revoked_at), UPDATE (revoked_at) ON portal_sessions TO brimful_engine;
GRANT UPDATE (expires_at) ON portal_links TO brimful_engine;

RESET ROLE;
