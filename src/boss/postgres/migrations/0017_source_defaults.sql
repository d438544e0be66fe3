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
