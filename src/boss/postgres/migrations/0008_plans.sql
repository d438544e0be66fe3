-- Plans that cannot depend on what PostgreSQL believes of the table.

-- As before (0006_promises.sql), and each key is looked up by itself: the order can only be had from the index of the
-- keys. Asked for all at once, a planner that knows of few active jobs would read all that are active.
CREATE OR REPLACE FUNCTION held_keys(keys text[]) RETURNS SETOF text LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(key, 0))
    FROM (SELECT DISTINCT unnest(keys) AS key ORDER BY 1) AS asked;
    RETURN QUERY
    SELECT DISTINCT held.take_key
    FROM unnest(keys) AS asked(key)
    CROSS JOIN LATERAL (
        SELECT job.take_key FROM job
        WHERE status = 'ACTIVE' AND job.take_key = ANY (ARRAY[asked.key])
        ORDER BY job.take_key
        LIMIT 1
    ) AS held;
END
$$;
