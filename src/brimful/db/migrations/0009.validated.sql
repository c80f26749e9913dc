-- Every entry passed the narrower checks that 0008 replaced; reading them again stops no writer.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

ALTER TABLE entries VALIDATE CONSTRAINT entries_source_check, VALIDATE CONSTRAINT entries_sign;

RESET ROLE;
