-- Roles: one owns the schema, three serve. A login takes one of them by its start-up options
-- (-c role=brimful_api); which tables each may write is in 0005.grants.sql.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['brimful_owner', 'brimful_api', 'brimful_portal', 'brimful_engine'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this cluster is being migrated at the same moment
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'USAGE') OR NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

GRANT USAGE, CREATE ON SCHEMA public TO brimful_owner;

GRANT USAGE ON SCHEMA public TO brimful_api, brimful_portal, brimful_engine;

-- Later tables too: every service role may read, unless 0005 takes it back, and draw from sequences.
ALTER DEFAULT PRIVILEGES FOR ROLE brimful_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO brimful_api, brimful_portal, brimful_engine;

ALTER DEFAULT PRIVILEGES FOR ROLE brimful_owner IN SCHEMA public
    GRANT USAGE ON SEQUENCES TO brimful_api, brimful_portal, brimful_engine;
