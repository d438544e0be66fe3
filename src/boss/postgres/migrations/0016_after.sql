-- A job may come after others: it is not handed out before these are completed.

-- As in 0014_notes.sql.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

-- The jobs that it was submitted to come after. While it waits for one of these, its due time is blocked_until(): so it
-- is in no index of ready jobs, and the version before does not hand it out either, unless it is asked for this one.
ALTER TABLE job ADD COLUMN after_ids varchar(64)[] COLLATE "C";

CREATE FUNCTION blocked_until() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$
    SELECT timestamptz '9998-12-31 23:59:59.999+00'
$$;

-- Which jobs the blocked ones still wait for, and since when: a job may end, and be redone before its end is carried on.
-- What comes after it from then on waits for its next end.
CREATE TABLE dependency
(
    job   varchar(64) COLLATE "C" NOT NULL,
    needs varchar(64) COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (needs, job)
);
CREATE INDEX dependency_job ON dependency (job);

-- The ends of jobs that others wait for. Maintenance carries them on (release_dependents below).
CREATE TABLE ended_job
(
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      varchar(64) COLLATE "C" NOT NULL,
    outcome varchar(20) COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL
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
        INSERT INTO ended_job (id, outcome, at)
        SELECT after.id, after.outcome, clock_timestamp()
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

-- Carry the recorded ends on to at most so many jobs that wait for them; return those that wait no longer, or that are
-- stopped because a job that they wait for did not complete. One replica at a time does this: two that each release the
-- last but one would each see another one left. A job that is locked waits for a later call. The number of the lock is
-- "bossends" in ASCII. Each statement sees what was committed before it.
CREATE FUNCTION release_dependents(most integer)
    RETURNS TABLE (id varchar, source varchar, stopped boolean) LANGUAGE plpgsql AS
$$
DECLARE
    jobs     text[];
    needed   text[];
    outcomes text[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(7093014877591987315) THEN
        RETURN;
    END IF;
    -- The first end of a job after somebody began to wait for it counts.
    SELECT coalesce(array_agg(met.job), '{}'), array_agg(met.needs), array_agg(met.outcome)
    INTO jobs, needed, outcomes
    FROM (SELECT DISTINCT ON (waits.job, waits.needs) waits.job, waits.needs, waits.outcome
          FROM (SELECT blocked.job, blocked.needs, ended.outcome, ended.number
                FROM (SELECT * FROM ended_job ORDER BY ended_job.number LIMIT most) AS ended
                CROSS JOIN LATERAL (
                    SELECT dependency.job, dependency.needs
                    FROM dependency
                    JOIN ONLY job ON job.id = ANY(ARRAY[dependency.job])
                    WHERE dependency.needs = ANY(ARRAY[ended.id]) AND dependency.since <= ended.at
                      AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until()
                    LIMIT most
                    FOR UPDATE OF job SKIP LOCKED
                ) AS blocked
                LIMIT most) AS waits
          ORDER BY waits.job, waits.needs, waits.number) AS met;
    DELETE FROM dependency USING unnest(jobs, needed) AS met(job, needs)
    WHERE dependency.needs = met.needs AND dependency.job = met.job;
    RETURN QUERY
    UPDATE ONLY job
    SET due_at = NULL,
        status = CASE WHEN moves.failed IS NULL THEN 'AVAILABLE' ELSE 'DONE' END,
        outcome = CASE WHEN moves.failed IS NOT NULL THEN 'stopped' END,
        finished_at = CASE WHEN moves.failed IS NOT NULL THEN clock_timestamp() END,
        result = CASE WHEN moves.failed IS NULL THEN job.result ELSE jsonb_build_object('reason', format(
            'it waited for %s, which %s', moves.failed[1],
            CASE moves.failed[2] WHEN 'failed' THEN 'failed' ELSE 'was ' || moves.failed[2] END)) END,
        result_bytes = CASE WHEN moves.failed IS NULL THEN job.result_bytes ELSE 200 END
    FROM (SELECT met.job, min(ARRAY[met.needs, met.outcome]) FILTER (WHERE met.outcome <> 'completed') AS failed
          FROM unnest(jobs, needed, outcomes) AS met(job, needs, outcome)
          GROUP BY met.job) AS moves
    WHERE job.id = ANY(ARRAY[moves.job]) AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until()
      AND (moves.failed IS NOT NULL
           OR NOT EXISTS (SELECT FROM dependency WHERE dependency.job = ANY(ARRAY[moves.job])))
    RETURNING job.id, job.source, moves.failed IS NOT NULL;
    IF cardinality(jobs) < most THEN
        -- What waits for these ends and is not blocked was changed by hand. Then the ends that nobody waits for go.
        DELETE FROM dependency USING ended_job
        WHERE dependency.needs = ANY(ARRAY[ended_job.id]) AND dependency.since <= ended_job.at
          AND NOT EXISTS (SELECT FROM ONLY job
                          WHERE job.id = ANY(ARRAY[dependency.job])
                            AND job.status || '' = 'AVAILABLE' AND job.due_at = blocked_until());
        DELETE FROM ended_job
        WHERE NOT EXISTS (SELECT FROM dependency
                          WHERE dependency.needs = ANY(ARRAY[ended_job.id]) AND dependency.since <= ended_job.at);
    END IF;
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
