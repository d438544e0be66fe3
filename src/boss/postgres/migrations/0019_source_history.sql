-- What each source did in each minute of the last hour, and in each ten minutes of the last day; and who asks for it.
SET LOCAL lock_timeout = '300ms';

-- A row for each source that did something, and one with the source '' for all together, which says that the time was
-- counted. Rows are deleted when they are too old to be shown (history.py).
CREATE TABLE source_history
(
    -- How long it is: 60 seconds or 600.
    seconds      integer     NOT NULL,
    start        timestamptz NOT NULL,
    source       varchar(100) COLLATE "C" NOT NULL,
    -- Jobs that came: they were submitted or redone.
    submitted    bigint NOT NULL,
    -- Jobs that ended, and those of them that failed or were abandoned.
    done         bigint NOT NULL,
    failed       bigint NOT NULL,
    -- Ready jobs at its end, and at its beginning.
    waiting      bigint NOT NULL,
    was_waiting  bigint NOT NULL,
    -- Two histograms: how many jobs waited so long for their take, and how many attempts ran so long. They have only the
    -- buckets that are not empty. Bucket n has the times from 2^(n/4) to 2^((n+1)/4) milliseconds.
    wait_buckets smallint[] NOT NULL,
    wait_jobs    bigint[]   NOT NULL,
    run_buckets  smallint[] NOT NULL,
    run_jobs     bigint[]   NOT NULL,
    PRIMARY KEY (seconds, start, source)
);
CREATE INDEX source_history_of_source ON source_history (source, seconds, start);

-- How many jobs of a source were not done, and how many were ready, when the last minute was counted: what came since is
-- the difference. There is no row for a source that had none. The row of '' says which minute that was, and when.
CREATE TABLE source_level
(
    source  varchar(100) COLLATE "C" PRIMARY KEY,
    open    bigint      NOT NULL,
    waiting bigint      NOT NULL,
    minute  timestamptz NOT NULL,
    at      timestamptz NOT NULL
);

-- When a taker last asked for jobs of a source; of any source under ''. Like `converter`, it need not survive a crash.
CREATE UNLOGGED TABLE source_asked
(
    source varchar(100) COLLATE "C" PRIMARY KEY,
    at     timestamptz NOT NULL
);

CREATE FUNCTION time_bucket(seconds double precision) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
    SELECT least(floor(4 * ln(greatest(seconds * 1000, 1)) / ln(2::float8)), 200)::smallint
$$;

-- Whoever may change the limits of sources may use these.
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
        EXECUTE format('GRANT %s ON source_history, source_level, source_asked TO %s',
                       granted.privileges, granted.role);
    END LOOP;
END
$$;
