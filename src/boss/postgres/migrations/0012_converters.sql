-- A take may name the converter that sends it.

ALTER TABLE job
    ADD COLUMN converter varchar(100) COLLATE "C",
    -- How many attempts it was submitted with, if it may have more by now: some did not count, or it was redone.
    ADD COLUMN allowed   integer;

-- The converters that were heard of in the last hour. Like `waiting`, it need not survive a crash: they are heard again.
CREATE UNLOGGED TABLE converter
(
    name    varchar(100) COLLATE "C" PRIMARY KEY,
    -- The sources that it last took from, separated by commas; NULL for any.
    sources text,
    taken   bigint      NOT NULL,
    heard   timestamptz NOT NULL
);

-- Whoever may change the limits of sources may use this.
DO
$$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
               string_agg(privilege_type, ', ') AS privileges
        FROM pg_class, aclexplode(relacl)
        WHERE oid = 'source_rule'::regclass AND grantee <> relowner
        GROUP BY grantee
    LOOP
        EXECUTE format('GRANT %s ON converter TO %s', granted.privileges, granted.role);
    END LOOP;
END
$$;
