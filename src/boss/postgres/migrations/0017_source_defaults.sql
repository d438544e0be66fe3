-- The defaults of a source: they apply where a request says nothing. NULL: as for all sources. The version before
-- keeps them when it changes a limit, and removes them with the row when it removes the limits of a source.
SET LOCAL lock_timeout = '300ms';
ALTER TABLE source_rule
    -- The most attempts of a job.
    ADD COLUMN attempts integer CHECK (attempts > 0),
    -- The seconds after the first failed attempt, after the second, and so on; the last one repeats.
    ADD COLUMN delays   float8[] CHECK (cardinality(delays) > 0),
    -- The seconds that a taker may go without a heartbeat; 0 for ever.
    ADD COLUMN lease    integer CHECK (lease >= 0),
    -- The seconds that an attempt may take.
    ADD COLUMN timeout  integer CHECK (timeout > 0);

-- A lock a source, in place of one for the whole database: takes of one source do not wait for those of another. Every
-- take that sees a limit holds the lock of its source from before it counts until it is over. Two sources may share a
-- lock, by their hashes; they then only wait for each other. 1651471219 is "boss" in ASCII, as in source_limits.py.
--
-- The version before locks the whole database exclusively while it changes a rule. The shared lock keeps takes out
-- meanwhile; it can go as soon as no such replica runs beside.

-- The sources with available jobs that a take may look at, of these or of all when NULL: how many jobs of each are
-- active, and how many more may be, NULL for any number. A take of one source waits for its lock. A take of several
-- never waits: it gets 0 for a source that somebody else is taking from. So it holds no lock while it waits for another.
CREATE FUNCTION room_for_take(sources text[])
    RETURNS TABLE (source varchar, active bigint, room bigint) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
    held integer[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7093014877810551909);
    IF cardinality(sources) = 1 THEN
        held := ARRAY[hashtext(sources[1])];
        PERFORM pg_advisory_xact_lock(1651471219, held[1]);
    ELSE
        SELECT array_agg(hash) INTO held
        FROM (SELECT DISTINCT hashtext(source) AS hash FROM room_now(sources) WHERE room IS NOT NULL) AS ruled
        WHERE pg_try_advisory_xact_lock(1651471219, hash);
    END IF;
    -- Counted anew: another take may have ended since. A source that has got a limit since is not locked.
    RETURN QUERY
    SELECT source, active, CASE WHEN room IS NULL OR hashtext(source) = ANY (held) THEN room ELSE 0 END
    FROM room_now(sources);
END
$$;

-- The same for the version before, which cannot be told of a source that somebody else is taking from: it waits for all
-- locks, in the same order everywhere.
CREATE OR REPLACE FUNCTION room_by_rules(sources text[])
    RETURNS TABLE (source varchar, active bigint, room bigint) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
    hashes integer[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7093014877810551909);
    hashes := ARRAY(SELECT DISTINCT hashtext(source) FROM room_now(sources) WHERE room IS NOT NULL ORDER BY 1);
    PERFORM pg_advisory_xact_lock(1651471219, hash) FROM unnest(hashes) AS hash;
    RETURN QUERY
    SELECT source, active, room FROM room_now(sources) WHERE room IS NULL OR hashtext(source) = ANY (hashes);
END
$$;
