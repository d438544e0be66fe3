-- A job may come after others: it is not handed out before these are completed.

-- As in 0014_notes.sql.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

-- The jobs that it was submitted to come after. While it waits for one of these, its due time is blocked_until(): so it
-- is in no index of ready jobs, and the version before does not hand it out either.
ALTER TABLE job ADD COLUMN after_ids varchar(64)[] COLLATE "C";

CREATE FUNCTION blocked_until() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$
    SELECT timestamptz '9998-12-31 23:59:59.999+00'
$$;

-- Which jobs the blocked ones still wait for.
CREATE TABLE dependency
(
    job   varchar(64) COLLATE "C" NOT NULL,
    needs varchar(64) COLLATE "C" NOT NULL,
    PRIMARY KEY (needs, job)
);
CREATE INDEX dependency_job ON dependency (job);

-- The ends of jobs that others wait for. Maintenance carries them on (release_dependents below).
CREATE TABLE ended_job
(
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      varchar(64) COLLATE "C" NOT NULL,
    outcome varchar(20) COLLATE "C" NOT NULL
);

-- As in 0011_ends.sql, and the ends of jobs that others wait for are recorded: in the transaction that ends them, also
-- by SQL by hand or by the version before. Where nobody uses this it costs a look into an empty table. A job that is
-- finished by hand has no outcome yet; the trigger that gives it one comes here, too.
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
    IF EXISTS (SELECT FROM dependency) THEN
        -- A job that is done itself, stopped for instance, waits for nothing any more.
        DELETE FROM dependency USING after WHERE dependency.job = after.id AND after.status = 'DONE';
        INSERT INTO ended_job (id, outcome)
        SELECT after.id, after.outcome
        FROM after
        WHERE status = 'DONE' AND outcome IS NOT NULL
          AND EXISTS (SELECT FROM dependency WHERE dependency.needs = ANY(ARRAY[after.id]));
        IF FOUND THEN
            PERFORM pg_notify('boss_dependents', '');
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- Carry the recorded ends on to at most so many jobs that wait for them; return those that are stopped, because a job
-- that they wait for did not complete. A job is released when it waits for no other. One replica at a time does this:
-- two that each release the last but one would each see another one left. A job that is locked waits for the next call.
-- The number of the lock is "bossends" in ASCII.
CREATE FUNCTION release_dependents(most integer)
    RETURNS TABLE (id varchar, source varchar, stopped boolean) LANGUAGE plpgsql AS
$$
BEGIN
    IF NOT pg_try_advisory_xact_lock(7093014877591987315) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT waits.job, waits.needs, ended.outcome
        FROM (SELECT DISTINCT ON (ended_job.id) ended_job.id, ended_job.outcome
              FROM (SELECT * FROM ended_job ORDER BY number LIMIT most) AS ended_job
              ORDER BY ended_job.id, number) AS ended
        CROSS JOIN LATERAL (
            SELECT dependency.job, dependency.needs FROM dependency
            WHERE dependency.needs = ANY(ARRAY[ended.id])
            ORDER BY dependency.needs, dependency.job
            LIMIT most
        ) AS waits
        LIMIT most
    ), blocked AS MATERIALIZED (
        SELECT job.id FROM ONLY job
        WHERE job.id = ANY(ARRAY(SELECT job FROM chosen))
          AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until()
    ), free AS MATERIALIZED (
        SELECT job.id FROM ONLY job
        WHERE job.id = ANY(ARRAY(SELECT blocked.id FROM blocked))
          AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until()
        FOR UPDATE SKIP LOCKED
    ), handled AS MATERIALIZED (
        SELECT chosen.job, chosen.needs, chosen.outcome FROM chosen
        WHERE chosen.job <> ALL(ARRAY(SELECT blocked.id FROM blocked EXCEPT SELECT free.id FROM free))
    ), met AS (
        DELETE FROM dependency USING handled
        WHERE dependency.needs = handled.needs AND dependency.job = handled.job
    ), moves AS MATERIALIZED (
        SELECT handled.job,
               min(handled.needs) FILTER (WHERE handled.outcome <> 'completed') AS failed,
               (min(ARRAY[handled.needs, handled.outcome]) FILTER (WHERE handled.outcome <> 'completed'))[2] AS outcome
        FROM handled
        WHERE handled.job = ANY(ARRAY(SELECT free.id FROM free))
        GROUP BY handled.job
        HAVING bool_or(handled.outcome <> 'completed')
            OR count(*) = (SELECT count(*) FROM dependency WHERE dependency.job = ANY(ARRAY[handled.job]))
    )
    UPDATE ONLY job
    SET due_at = NULL,
        status = CASE WHEN moves.failed IS NULL THEN 'AVAILABLE' ELSE 'DONE' END,
        outcome = CASE WHEN moves.failed IS NOT NULL THEN 'stopped' END,
        finished_at = CASE WHEN moves.failed IS NOT NULL THEN clock_timestamp() END,
        result = CASE WHEN moves.failed IS NULL THEN job.result ELSE jsonb_build_object('reason', format(
            'it waited for %s, which %s', moves.failed,
            CASE moves.outcome WHEN 'failed' THEN 'failed' ELSE 'was ' || moves.outcome END)) END,
        result_bytes = CASE WHEN moves.failed IS NULL THEN job.result_bytes ELSE 200 END
    FROM moves
    WHERE job.id = ANY(ARRAY[moves.job]) AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until()
    RETURNING job.id, job.source, moves.failed IS NOT NULL;
    -- The ends that nobody waits for any more.
    DELETE FROM ended_job
    WHERE number = ANY(ARRAY(SELECT ended_job.number FROM ended_job ORDER BY ended_job.number LIMIT most))
      AND NOT EXISTS (SELECT FROM dependency WHERE dependency.needs = ANY(ARRAY[ended_job.id]));
END
$$;

-- As in 0013_volumes.sql, with the tables of this file.
CREATE OR REPLACE FUNCTION write_out_schema() RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    of_job record;
BEGIN
    FOR of_job IN
        SELECT oid::regprocedure AS signature,
               regexp_replace(prosrc, '\m(INTO|FROM|UPDATE) (?:(?:"(?:[^"]|"")+"|\w+)\.)?(job|tally|volume_tally|waiting|awaited|dependency|ended_job)\M',
                              format('\1 %s.\2', replace(quote_ident(current_schema()), '\', '\\')), 'g') AS body
        FROM pg_proc
        WHERE oid IN (SELECT tgfoid FROM pg_trigger
                      WHERE NOT tgisinternal
                        AND tgrelid IN (SELECT 'job'::regclass
                                        UNION ALL
                                        SELECT inhrelid FROM pg_inherits WHERE inhparent = 'job'::regclass))
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql AS %L',
                       of_job.signature, of_job.body);
    END LOOP;
END
$$;
SELECT write_out_schema();

-- Whoever may change the limits of sources may use these, and whoever submits or finishes jobs in SQL may use them in
-- the trigger, as `waiting`.
DO
$$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
               CASE WHEN bool_or(oid = 'source_rule'::regclass) THEN 'SELECT, INSERT, UPDATE, DELETE' ELSE 'SELECT, DELETE' END
                   AS of_dependency,
               CASE WHEN bool_or(oid = 'source_rule'::regclass) THEN 'SELECT, INSERT, DELETE' ELSE 'INSERT' END AS of_ends
        FROM pg_class, aclexplode(relacl)
        WHERE grantee <> relowner
          AND (oid = 'source_rule'::regclass AND privilege_type = 'UPDATE'
               OR oid = 'waiting'::regclass AND privilege_type = 'SELECT')
        GROUP BY grantee
    LOOP
        EXECUTE format('GRANT %s ON dependency TO %s', granted.of_dependency, granted.role);
        EXECUTE format('GRANT %s ON ended_job TO %s', granted.of_ends, granted.role);
    END LOOP;
END
$$;
