-- A take is a lease: a job whose converter stays silent for too long comes back. And takers can wait.

ALTER TABLE job
    -- How many takes it gets before it is given up.
    ADD COLUMN attempts    integer NOT NULL DEFAULT 25,
    -- How many seconds its taker may stay silent; 0: for ever, as after a take by the design's own query.
    ADD COLUMN lease       integer NOT NULL DEFAULT 0,
    ADD COLUMN lease_until timestamptz,
    -- When its taker was last heard of; a check is written down only now and then (leases.py).
    ADD COLUMN seen_at     timestamptz,
    -- What the taker called this take (Idempotency-Key), so that it gets the same job when it asks again.
    ADD COLUMN take_key    text COLLATE "C";

-- What the sweeper reads: leases that run out, and done jobs by age.
CREATE INDEX job_lease ON job (lease_until) WHERE status = 'ACTIVE' AND lease_until IS NOT NULL;
CREATE INDEX job_finished ON job (finished_at) WHERE status = 'DONE';
-- What a take that is sent again reads.
CREATE INDEX job_take_key ON job (take_key) WHERE status = 'ACTIVE' AND take_key IS NOT NULL;

-- Replicas on which takers wait, each by the server process of its listening connection. It outlives neither that
-- process (the sweeper sees to it) nor a crash (it is unlogged).
CREATE UNLOGGED TABLE waiting
(
    pid integer PRIMARY KEY
);

-- Tells every replica which sources have got ready jobs, and how many: one NOTIFY a statement, for it takes a lock that
-- all of the server's databases share, and none while nobody waits. A payload that would be too long is sent empty,
-- which means: look for yourselves.
CREATE FUNCTION announce_ready() RETURNS trigger LANGUAGE plpgsql AS
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
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_inserted AFTER INSERT ON job
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION announce_ready();
CREATE TRIGGER announce_updated AFTER UPDATE ON job
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION announce_ready();

-- Nobody renews the lease of a take by hand, so it has none.
CREATE OR REPLACE FUNCTION job_taken_by_hand() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    UPDATE job
    SET attempt = attempt + 1, taken_at = now(), seen_at = now(), lease = 0, lease_until = NULL, take_key = NULL
    WHERE id = NEW.id;
    RETURN NULL;
END
$$;
