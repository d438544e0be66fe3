-- The ends of jobs that somebody waits for are announced to all replicas.

-- Like `waiting`, it need not survive a crash: whoever waits also checks the job now and then.
CREATE UNLOGGED TABLE awaited
(
    id    varchar(64) COLLATE "C" PRIMARY KEY,
    -- When nobody waits any more.
    until timestamptz NOT NULL
);

-- In the function that each statement calls already: a trigger of its own would cost each statement a call more. With
-- nobody waiting it costs a look into an empty table.
CREATE OR REPLACE FUNCTION announce_ready() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    ready text;
BEGIN
    IF EXISTS (SELECT FROM waiting) THEN
        SELECT json_object_agg(source, jobs)::text
        INTO ready
        FROM (SELECT source, count(*) AS jobs
              FROM after
              WHERE status = 'AVAILABLE' AND due_at IS NULL
              GROUP BY source) AS of_source;
        IF ready IS NOT NULL THEN
            PERFORM pg_notify('boss_ready', CASE WHEN length(ready) < 7000 THEN ready ELSE '' END);
        END IF;
    END IF;
    IF EXISTS (SELECT FROM awaited) THEN
        PERFORM pg_notify('boss_ended', after.id)
        FROM after
        WHERE status = 'DONE' AND EXISTS (SELECT FROM awaited WHERE awaited.id = ANY(ARRAY[after.id]));
    END IF;
    RETURN NULL;
END
$$;

SELECT write_out_schema();

-- Whoever may change the limits of sources may use this, and whoever submits jobs in SQL may read it, as `waiting`: the
-- trigger does.
DO
$$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
               string_agg(DISTINCT privilege_type, ', ') AS privileges
        FROM pg_class, aclexplode(relacl)
        WHERE grantee <> relowner
          AND (oid = 'source_rule'::regclass OR (oid = 'waiting'::regclass AND privilege_type = 'SELECT'))
        GROUP BY grantee
    LOOP
        EXECUTE format('GRANT %s ON awaited TO %s', granted.privileges, granted.role);
    END LOOP;
END
$$;
