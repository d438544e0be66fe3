-- The rate of a source, and how long its done jobs are kept. NULL: any rate, and as long as all others. The version
-- before keeps both when it changes a limit, and applies the rate, but what it takes is not counted.
SET LOCAL lock_timeout = '300ms';
ALTER TABLE source_rule
    -- How many of its jobs may be taken in a second.
    ADD COLUMN rate      float8 CHECK (rate > 0),
    -- For how many days its done jobs are kept.
    ADD COLUMN keep_done float8 CHECK (keep_done >= 0);

-- How much of the rate of a source is used up: a token bucket, which gets `rate` tokens a second. A take spends one for
-- each job. A bucket is known by the moment at which it is full again
-- (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). A source without a row has a full one. After a crash of
-- PostgreSQL all are full, so a take need not write WAL for it.
CREATE UNLOGGED TABLE rate_used
(
    source  varchar(100) COLLATE "C" PRIMARY KEY,
    full_at timestamptz NOT NULL
);

-- How many tokens a bucket holds: those of a tenth of a second, and at least one. So takes are spread evenly.
CREATE FUNCTION rate_burst(rate float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$
    SELECT greatest(1, rate / 10)
$$;

-- How many tokens a bucket has now; NULL without a rate. A moment that is too far ahead is from before the clock was
-- set back, or from before the rate was raised: then there is one token.
CREATE FUNCTION rate_left(rate float8, full_at timestamptz) RETURNS float8 LANGUAGE sql VOLATILE AS
$$
    SELECT CASE WHEN full_at > clock_timestamp() + 2 * rate_burst(rate) / rate * interval '1 second' THEN 1
                ELSE least(rate_burst(rate), rate_burst(rate) - rate * extract(epoch FROM full_at - clock_timestamp()))
           END
$$;

-- As in 0006_promises.sql, with the rates.
CREATE OR REPLACE FUNCTION room_now(sources text[])
    RETURNS TABLE (source varchar, active bigint, room bigint) LANGUAGE sql STABLE AS
$$
    SELECT counted.source, counted.active,
           least(rule.most_active - counted.active,
                 CASE WHEN rule.rate IS NOT NULL THEN floor(rate_left(rule.rate, used.full_at))::bigint END)
    FROM (SELECT tally.source,
                 coalesce(sum(jobs) FILTER (WHERE status = 'AVAILABLE'), 0) AS available,
                 coalesce(sum(jobs) FILTER (WHERE status = 'ACTIVE'), 0)::bigint AS active
          FROM tally
          WHERE sources IS NULL OR tally.source = ANY (sources)
          GROUP BY tally.source) AS counted
    LEFT JOIN source_rule AS rule ON rule.source = counted.source
    LEFT JOIN rate_used AS used ON used.source = rule.source AND rule.rate IS NOT NULL
    WHERE available > 0 AND rule.paused IS NOT TRUE
      AND (rule.most_active IS NULL OR counted.active < rule.most_active)
      AND (rule.rate IS NULL OR rate_left(rule.rate, used.full_at) >= 1)
$$;

-- Whoever may use source_rule may use rate_used.
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
        EXECUTE format('GRANT %s ON rate_used TO %s', granted.privileges, granted.role);
    END LOOP;
END
$$;
