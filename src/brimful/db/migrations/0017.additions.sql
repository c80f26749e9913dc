-- What is no spending is found without reading what is: a platform may bill by charges alone.
SET LOCAL ROLE brimful_owner;

CREATE INDEX entries_additions ON entries (customer_id, asset, seq) WHERE kind NOT IN ('usage', 'charge');

RESET ROLE;
