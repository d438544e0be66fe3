-- Done jobs in volumes, which cost nothing to empty (docs/decisions/0006-history-in-volumes.md).
--
-- A volume inherits from job, so whoever reads or changes `job` reaches all of them. Maintenance moves done jobs into
-- volumes, and empties volumes by TRUNCATE (volumes.py). The volumes are always the same eight, so nobody but the
-- schema's owner has to create a table, and a dump of data alone finds them where it is restored.

-- The first lock waits for a vacuum, as in 0009_vacuum.sql; the second one, which makes others wait, then does not.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

-- How many jobs of each source are in each volume: a ledger, as tally is for all jobs (0001_job.sql). With it a volume
-- is emptied without counting its jobs.
CREATE TABLE volume_tally
(
    volume varchar(63)  COLLATE "C" NOT NULL,
    source varchar(100) COLLATE "C" NOT NULL,
    jobs   bigint NOT NULL
);
-- As tally (0007_found.sql).
ALTER TABLE volume_tally REPLICA IDENTITY FULL;
CREATE TRIGGER volume_tally_left_out BEFORE INSERT ON volume_tally
    FOR EACH ROW WHEN (current_setting('search_path') IN ('', '""') AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION left_out_of_restore();

CREATE FUNCTION volume_inserted() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO volume_tally SELECT TG_TABLE_NAME, source, count(*) FROM inserted GROUP BY source;
    RETURN NULL;
END
$$;

-- For each row: a statement that names `job` fires no other trigger of a volume.
CREATE FUNCTION volume_changed() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO volume_tally VALUES (TG_TABLE_NAME, OLD.source, -1);
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO volume_tally VALUES (TG_TABLE_NAME, NEW.source, 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION volume_truncated() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO tally
    SELECT source, 'DONE', -sum(jobs) FROM volume_tally WHERE volume = TG_TABLE_NAME
    GROUP BY source HAVING sum(jobs) <> 0;
    INSERT INTO volume_tally
    SELECT TG_TABLE_NAME, source, -sum(jobs) FROM volume_tally WHERE volume = TG_TABLE_NAME
    GROUP BY source HAVING sum(jobs) <> 0;
    RETURN NULL;
END
$$;

-- TRUNCATE job fires this trigger, and that of each volume. TRUNCATE ONLY job leaves the volumes' jobs.
CREATE OR REPLACE FUNCTION tally_truncated() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO tally
    SELECT source, status, -sum(jobs)
    FROM (SELECT source, status, jobs FROM tally
          UNION ALL
          SELECT source, 'DONE', -jobs FROM volume_tally) AS gone
    GROUP BY source, status HAVING sum(jobs) <> 0;
    RETURN NULL;
END
$$;

-- As before (0001_job.sql), with a time for each job: many that are finished by hand at once can be listed one by one.
CREATE OR REPLACE FUNCTION job_finished_by_hand() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    UPDATE job SET outcome = 'completed', finished_at = clock_timestamp() WHERE id = NEW.id;
    RETURN NULL;
END
$$;

-- A done job that is made available or active by hand moves back. Columns go by name, here and below: a user's own may
-- be in another order in a volume, and generated ones cannot be written.
CREATE FUNCTION reopen_job() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    parent  regclass := (SELECT inhparent FROM pg_inherits WHERE inhrelid = TG_RELID);
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                     FROM pg_attribute
                     WHERE attrelid = parent AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
BEGIN
    DELETE FROM job WHERE id = OLD.id AND tableoid = TG_RELID;
    EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM (SELECT ($1).*) AS reopened', parent, columns) USING NEW;
    RETURN NULL;
END
$$;

-- The id of a done job is taken, wherever the job is. Our own submits look for it and say so by `boss.ids`
-- (submits.py). For all others, such as the version before, a row with such an id is left out, as by ON CONFLICT DO
-- NOTHING. The order leaves only the indexes of ids, even to a plan that was made while the tables were empty.
CREATE FUNCTION leave_out_id_of_done() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM FROM job WHERE id = ANY (ARRAY[NEW.id]) AND status || '' = 'DONE' ORDER BY id LIMIT 1;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

-- A dump that began before a volume was emptied may have the counts of its jobs and not the jobs. Then the counts are
-- taken back. Whoever moves jobs has the lock until what they have moved can be seen, so an empty volume is empty.
CREATE FUNCTION mend_volume(volume text) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    is_empty boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7093014877726275173) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM ONLY %I)', volume) INTO is_empty;
    IF is_empty THEN
        INSERT INTO tally
        SELECT source, 'DONE', -sum(jobs) FROM volume_tally WHERE volume_tally.volume = mend_volume.volume
        GROUP BY source HAVING sum(jobs) <> 0;
        INSERT INTO volume_tally
        SELECT mend_volume.volume, source, -sum(jobs) FROM volume_tally
        WHERE volume_tally.volume = mend_volume.volume
        GROUP BY source HAVING sum(jobs) <> 0;
    END IF;
END
$$;

-- Move these done jobs into a volume; return how many were moved. They are moved only when every snapshot in use shows
-- them as done: whoever looks for an id in all tables and then inserts it (submits.py, the trigger above) finds the job
-- either by the look or by the primary key of `job`, however long that takes. The age of the oldest snapshot may be
-- read by every user, unlike when a transaction began; autovacuum, which has no user, inserts nothing. A row that is
-- older than two billion transactions has a negative age. Nothing is moved while another table's rows would be deleted
-- or changed with a job.
CREATE FUNCTION move_done(volume text, ids text[]) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                     FROM pg_attribute
                     WHERE attrelid = 'job'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
    moved   bigint;
BEGIN
    -- The number is "bossmove" in ASCII.
    IF NOT pg_try_advisory_xact_lock(7093014877726275173) OR EXISTS (
        SELECT FROM pg_constraint WHERE confrelid = 'job'::regclass AND contype = 'f' AND confdeltype NOT IN ('a', 'r'))
    THEN
        RETURN 0;
    END IF;
    PERFORM mend_volume(volume);
    EXECUTE format(
        'WITH settled AS MATERIALIZED (
             SELECT id FROM ONLY job
             WHERE id = ANY ($1) AND status || '''' = ''DONE''
               AND age(xmin) NOT BETWEEN 0 AND (
                   SELECT max(age(backend_xmin)) FROM pg_stat_activity
                   WHERE datname = current_database() AND usesysid IS NOT NULL)
             FOR UPDATE SKIP LOCKED
         ), moved AS (
             DELETE FROM ONLY job WHERE id = ANY (ARRAY(SELECT id FROM settled)) RETURNING %1$s
         )
         INSERT INTO %2$I (%1$s) SELECT %1$s FROM moved', columns, volume) USING ids;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

-- Empty a volume if all of its jobs were done more than so many seconds ago; return how many they were. It is one
-- statement, and so one message to the server: a replica that is stopped in between keeps nobody waiting. Others wait
-- for 100 ms at most, and not for a standby: if the commit is lost with the server, the volume is emptied again.
CREATE FUNCTION empty_volume(volume text, older double precision) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    last  timestamptz;
    total bigint;
BEGIN
    -- Whoever moves jobs has the volume locked, and is waited for here, where nobody waits behind us.
    PERFORM pg_advisory_xact_lock(7093014877726275173);
    PERFORM set_config('lock_timeout', '100ms', true), set_config('synchronous_commit', 'local', true);
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', volume);
    EXECUTE format('SELECT finished_at FROM %I WHERE status = ''DONE'' ORDER BY finished_at DESC LIMIT 1', volume)
    INTO last;
    IF last >= now() - make_interval(secs => older) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(sum(jobs), 0) INTO total FROM volume_tally WHERE volume_tally.volume = empty_volume.volume;
    EXECUTE format('TRUNCATE ONLY %I', volume);
    RETURN total;
END
$$;

-- As in 0007_found.sql, for the triggers of the volumes too, and for the table of 0011_ends.sql.
CREATE OR REPLACE FUNCTION write_out_schema() RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    of_job record;
BEGIN
    FOR of_job IN
        SELECT oid::regprocedure AS signature,
               regexp_replace(prosrc, '\m(INTO|FROM|UPDATE) (?:(?:"(?:[^"]|"")+"|\w+)\.)?(job|tally|volume_tally|waiting|awaited)\M',
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

DO
$$
DECLARE
    volume  text;
    granted record;
BEGIN
    FOR number IN 1..8 LOOP
        volume := format('job_done_%s', number);
        EXECUTE format('CREATE TABLE %I (PRIMARY KEY (id), CHECK (status = ''DONE'')) INHERITS (job)', volume);
        -- A volume is as old as its jobs.
        EXECUTE format('ALTER TABLE %I ALTER finished_at SET NOT NULL', volume);
        EXECUTE format('CREATE INDEX ON %I (status, source, id)', volume);
        EXECUTE format('CREATE INDEX ON %I (finished_at) WHERE status = ''DONE''', volume);
        EXECUTE format('CREATE INDEX ON %I (finished_at)
            WHERE status = ''DONE'' AND outcome IN (''failed'', ''abandoned'')', volume);
        EXECUTE format('CREATE TRIGGER reopen BEFORE UPDATE OF status ON %I
            FOR EACH ROW WHEN (NEW.status <> ''DONE'') EXECUTE FUNCTION reopen_job()', volume);
        EXECUTE format('CREATE TRIGGER tally_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION tally_inserted()', volume);
        EXECUTE format('CREATE TRIGGER tally_updated AFTER UPDATE ON %I
            REFERENCING OLD TABLE AS before NEW TABLE AS after
            FOR EACH STATEMENT EXECUTE FUNCTION tally_updated()', volume);
        EXECUTE format('CREATE TRIGGER tally_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS deleted
            FOR EACH STATEMENT EXECUTE FUNCTION tally_deleted()', volume);
        EXECUTE format('CREATE TRIGGER volume_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION volume_inserted()', volume);
        EXECUTE format('CREATE TRIGGER volume_changed AFTER DELETE OR UPDATE OF source ON %I
            FOR EACH ROW EXECUTE FUNCTION volume_changed()', volume);
        EXECUTE format('CREATE TRIGGER volume_truncated AFTER TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION volume_truncated()', volume);
        EXECUTE format('CREATE TRIGGER forget_document_size AFTER UPDATE OF document ON %I FOR EACH ROW
            WHEN (NEW.document_bytes IS NOT DISTINCT FROM OLD.document_bytes
                  AND NEW.document IS DISTINCT FROM OLD.document)
            EXECUTE FUNCTION forget_size()', volume);
        EXECUTE format('CREATE TRIGGER forget_result_size AFTER UPDATE OF result ON %I FOR EACH ROW
            WHEN (NEW.result_bytes IS NOT NULL AND NEW.result_bytes IS NOT DISTINCT FROM OLD.result_bytes
                  AND NEW.result IS DISTINCT FROM OLD.result)
            EXECUTE FUNCTION forget_size()', volume);
    END LOOP;
    -- Whoever may use job may use its volumes, and whoever may write tally may write volume_tally.
    FOR granted IN
        SELECT of.oid = 'job'::regclass AS of_job,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
               string_agg(privilege_type, ', ') AS privileges,
               CASE WHEN bool_or(privilege_type = 'DELETE') THEN ', TRUNCATE' ELSE '' END AS truncate
        FROM pg_class AS of, aclexplode(relacl)
        WHERE of.oid IN ('job'::regclass, 'tally'::regclass) AND grantee <> relowner
        GROUP BY of.oid, grantee
    LOOP
        IF granted.of_job THEN
            FOR number IN 1..8 LOOP
                EXECUTE format('GRANT %s%s ON job_done_%s TO %s',
                               granted.privileges, granted.truncate, number, granted.role);
            END LOOP;
        ELSE
            EXECUTE format('GRANT %s ON volume_tally TO %s', granted.privileges, granted.role);
        END IF;
    END LOOP;
END
$$;

-- Last, for from here on nobody else may change a job.
CREATE TRIGGER leave_out_id_of_done BEFORE INSERT ON job
    FOR EACH ROW WHEN (coalesce(current_setting('boss.ids', true), '') = '')
    EXECUTE FUNCTION leave_out_id_of_done();
SELECT write_out_schema();
