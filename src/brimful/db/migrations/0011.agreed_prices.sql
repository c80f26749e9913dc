-- Units of the platform's own are bought at the price that the customer agreed to, or a lower one. Rules from before have
-- none: they buy at any price, as they did.
SET LOCAL ROLE brimful_owner;

ALTER TABLE consents ADD COLUMN rate numeric(38, 12) CHECK (rate > 0),
    ADD COLUMN rate_per numeric(38, 12) CHECK (rate_per > 0), ADD CHECK ((rate IS NULL) = (rate_per IS NULL));
ALTER TABLE rules ADD COLUMN rate numeric(38, 12) CHECK (rate > 0),
    ADD COLUMN rate_per numeric(38, 12) CHECK (rate_per > 0), ADD CHECK ((rate IS NULL) = (rate_per IS NULL));

RESET ROLE;
