-- Databases as they are found: other schemas, restores of data alone, TRUNCATE and publications.

-- Rows of differences, as for every other statement: a fold that is under way must not lose what is deleted here.
CREATE FUNCTION tally_truncated() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO tally SELECT source, status, -sum(jobs) FROM tally GROUP BY source, status HAVING sum(jobs) <> 0;
    RETURN NULL;
END
$$;

-- A restore of data alone (pg_dump --data-only) brings the ledger, and the rows of job that are counted as they come;
-- and it brings rows for versions and heartbeat, which exist already. pg_dump's scripts have an empty search_path, and nobody
-- else has. What the triggers of job write comes from a trigger. In a restore of everything they come after the data.
CREATE FUNCTION left_out_of_restore() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    RETURN NULL;
END
$$;

CREATE TRIGGER tally_truncated AFTER TRUNCATE ON job
    FOR EACH STATEMENT EXECUTE FUNCTION tally_truncated();
CREATE TRIGGER tally_left_out BEFORE INSERT ON tally
    FOR EACH ROW WHEN (current_setting('search_path') IN ('', '""') AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION left_out_of_restore();
CREATE TRIGGER heartbeat_left_out BEFORE INSERT ON heartbeat
    FOR EACH ROW WHEN (current_setting('search_path') IN ('', '""')) EXECUTE FUNCTION left_out_of_restore();
CREATE TRIGGER boss_migration_left_out BEFORE INSERT ON boss_migration
    FOR EACH ROW WHEN (current_setting('search_path') IN ('', '""')) EXECUTE FUNCTION left_out_of_restore();

-- What SQL typed by hand may put into a row, and no reader could get out of it again: the next take would fail, and so
-- would that of all others. Rows that are there are not looked at.
ALTER TABLE job
    ADD CONSTRAINT job_attempt_is_countable CHECK (attempt BETWEEN 0 AND 2000000000) NOT VALID,
    ADD CONSTRAINT job_times_are_readable CHECK (
        least(submitted_at, due_at, taken_at, seen_at, lease_until, finished_at) > '0002-01-01'
        AND greatest(submitted_at, due_at, taken_at, seen_at, lease_until, finished_at) < '9999-01-01') NOT VALID,
    ADD CONSTRAINT job_history_is_a_list CHECK (jsonb_typeof(history) = 'array') NOT VALID,
    ADD CONSTRAINT job_traceparent_is_printable CHECK (traceparent !~ '[^ -~]') NOT VALID;

-- In a publication FOR ALL TABLES PostgreSQL deletes no row that it cannot name. The other tables have primary keys.
ALTER TABLE tally REPLICA IDENTITY FULL;

-- SQL typed from another search_path, as UPDATE other.job …, and pg_restore, which has none, reach the same tables: what
-- a name means is decided here, not by who runs the statement. The names are written out, for a search_path of the
-- function's own costs each statement seven microseconds. When the schema is renamed this is done again (migrate.py).
CREATE FUNCTION write_out_schema() RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    of_job record;
BEGIN
    FOR of_job IN
        SELECT oid::regprocedure AS signature,
               regexp_replace(prosrc, '\m(INTO|FROM|UPDATE) (?:(?:"(?:[^"]|"")+"|\w+)\.)?(job|tally|waiting)\M',
                              format('\1 %s.\2', replace(quote_ident(current_schema()), '\', '\\')), 'g') AS body
        FROM pg_proc
        WHERE oid IN (SELECT tgfoid FROM pg_trigger WHERE tgrelid = 'job'::regclass AND NOT tgisinternal)
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql AS %L',
                       of_job.signature, of_job.body);
    END LOOP;
END
$$;
SELECT write_out_schema();
