-- Schedules: jobs that Boss submits by itself, at the moments of a cron line.

CREATE TABLE schedule
(
    -- With the moment it becomes a job's id, which has 64 characters at most.
    name           varchar(47)  COLLATE "C" PRIMARY KEY,
    source         varchar(100) COLLATE "C" NOT NULL,
    cron           text        NOT NULL,
    zone           text        NOT NULL,
    document       jsonb       NOT NULL,
    document_bytes integer     NOT NULL,
    missed         varchar(20) COLLATE "C" NOT NULL CHECK (missed IN ('run once', 'skip')),
    paused         boolean     NOT NULL,
    -- The next moment that has not been looked after.
    next_at        timestamptz NOT NULL
);

-- Whoever may change the limits of sources may change schedules.
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
        EXECUTE format('GRANT %s ON schedule TO %s', granted.privileges, granted.role);
    END LOOP;
END
$$;
