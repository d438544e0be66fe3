-- Done jobs in volumes, which cost no more to fill and nothing to empty (docs/decisions/0006-history-in-volumes.md).
--
-- A volume inherits from job, so whoever reads or changes `job` reaches all of them. A finish moves its jobs into a
-- volume (finishes.py), and maintenance moves the other done jobs and empties volumes by TRUNCATE (volumes.py). The
-- volumes are always the same eight, so nobody but the schema's owner has to create a table, and a dump of data alone
-- finds them where it is restored.

-- The first lock waits for a vacuum, as in 0009_vacuum.sql; the second one, which makes others wait, then does not.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

-- Before rows of a volume come or go. Whoever empties the volume counts them first and holds this lock alone
-- (volumes.py); nobody else waits for it. The number is "boss" in ASCII.
CREATE FUNCTION keep_volume() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1651471219, hashtext(TG_TABLE_NAME));
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;

-- A done job that is made available or active by hand moves back.
CREATE FUNCTION reopen_job() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    DELETE FROM job WHERE id = OLD.id AND tableoid = TG_RELID;
    INSERT INTO job SELECT NEW.*;
    RETURN NULL;
END
$$;

-- The jobs of a volume that is emptied by hand are counted no more. Maintenance subtracts them itself, before it locks
-- the volume.
CREATE FUNCTION tally_emptied() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF current_setting('boss.counted', true) IS DISTINCT FROM TG_TABLE_NAME THEN
        EXECUTE format('INSERT INTO %1$I.tally
            SELECT source, status, -count(*) FROM ONLY %1$I.%2$I GROUP BY source, status',
            TG_TABLE_SCHEMA, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

-- The id of a done job is taken, wherever the job is. Our own submits look for it and say so by `boss.ids`
-- (submits.py). For others, such as the version before, a row with such an id is left out, as by ON CONFLICT DO
-- NOTHING. A job that is not done is locked first: if it is being finished, that waits for the end of it.
CREATE FUNCTION leave_out_id_of_done() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    -- The order leaves only the indexes of ids, even to a plan that was made while the tables were empty.
    PERFORM FROM ONLY job WHERE id = ANY (ARRAY[NEW.id]) ORDER BY id FOR KEY SHARE;
    PERFORM FROM job WHERE id = ANY (ARRAY[NEW.id]) AND status || '' = 'DONE' ORDER BY id LIMIT 1;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

-- And a job with that id may have become done since then. These statements see what is committed by now. Our own submit
-- stores no id that it finds at all, so one that it missed was submitted and finished since it began. The index of that
-- time has few of these, and no other index has their order (docs/decisions/0004-session-settings.md).
CREATE FUNCTION refuse_id_of_done() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    known text;
BEGIN
    IF current_setting('boss.ids', true) = 'looked' THEN
        SELECT id INTO known
        FROM inserted
        WHERE id = ANY (ARRAY(SELECT id FROM job
                              WHERE status = 'DONE' AND finished_at >= now() AND tableoid <> TG_RELID
                              ORDER BY finished_at))
        LIMIT 1;
    ELSE
        SELECT inserted.id INTO known
        FROM inserted
        CROSS JOIN LATERAL (
            SELECT tableoid FROM job WHERE id = ANY (ARRAY[inserted.id]) ORDER BY id) AS found
        WHERE found.tableoid <> TG_RELID
        LIMIT 1;
    END IF;
    IF known IS NOT NULL THEN
        RAISE unique_violation USING MESSAGE = format('there is a done job with the id %s', known);
    END IF;
    RETURN NULL;
END
$$;

-- As in 0007_found.sql, for the triggers of the volumes too.
CREATE OR REPLACE FUNCTION write_out_schema() RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    of_job record;
BEGIN
    FOR of_job IN
        SELECT oid::regprocedure AS signature,
               regexp_replace(prosrc, '\m(INTO|FROM|UPDATE)( ONLY)? (?:(?:"(?:[^"]|"")+"|\w+)\.)?(job|tally|waiting)\M',
                              format('\1\2 %s.\3', replace(quote_ident(current_schema()), '\', '\\')), 'g') AS body
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
        EXECUTE format('CREATE INDEX ON %I (status, source, id)', volume);
        EXECUTE format('CREATE INDEX ON %I (finished_at) WHERE status = ''DONE''', volume);
        EXECUTE format('CREATE INDEX ON %I (finished_at)
            WHERE status = ''DONE'' AND outcome IN (''failed'', ''abandoned'')', volume);
        EXECUTE format('CREATE TRIGGER keep_inserted BEFORE INSERT ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION keep_volume()', volume);
        EXECUTE format('CREATE TRIGGER keep_changed BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION keep_volume()', volume);
        EXECUTE format('CREATE TRIGGER reopen BEFORE UPDATE OF status ON %I
            FOR EACH ROW WHEN (NEW.status <> ''DONE'') EXECUTE FUNCTION reopen_job()', volume);
        EXECUTE format('CREATE TRIGGER tally_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION tally_inserted()', volume);
        EXECUTE format('CREATE TRIGGER tally_updated AFTER UPDATE ON %I
            REFERENCING OLD TABLE AS before NEW TABLE AS after
            FOR EACH STATEMENT EXECUTE FUNCTION tally_updated()', volume);
        EXECUTE format('CREATE TRIGGER tally_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS deleted
            FOR EACH STATEMENT EXECUTE FUNCTION tally_deleted()', volume);
        EXECUTE format('CREATE TRIGGER tally_emptied BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION tally_emptied()', volume);
        EXECUTE format('CREATE TRIGGER forget_document_size AFTER UPDATE OF document ON %I FOR EACH ROW
            WHEN (NEW.document_bytes IS NOT DISTINCT FROM OLD.document_bytes
                  AND NEW.document IS DISTINCT FROM OLD.document)
            EXECUTE FUNCTION forget_size()', volume);
        EXECUTE format('CREATE TRIGGER forget_result_size AFTER UPDATE OF result ON %I FOR EACH ROW
            WHEN (NEW.result_bytes IS NOT NULL AND NEW.result_bytes IS NOT DISTINCT FROM OLD.result_bytes
                  AND NEW.result IS DISTINCT FROM OLD.result)
            EXECUTE FUNCTION forget_size()', volume);
        -- Whoever may use job may use its volumes.
        FOR granted IN
            SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
                   string_agg(CASE privilege_type WHEN 'DELETE' THEN 'DELETE, TRUNCATE' ELSE privilege_type END, ', ')
                       AS privileges
            FROM pg_class, aclexplode(relacl)
            WHERE oid = 'job'::regclass AND grantee <> relowner
            GROUP BY grantee
        LOOP
            EXECUTE format('GRANT %s ON %I TO %s', granted.privileges, volume, granted.role);
        END LOOP;
    END LOOP;
END
$$;

-- Last, for from here on nobody else may change a job.
CREATE TRIGGER leave_out_id_of_done BEFORE INSERT ON job
    FOR EACH ROW WHEN (coalesce(current_setting('boss.ids', true), '') = '')
    EXECUTE FUNCTION leave_out_id_of_done();
CREATE TRIGGER refuse_id_of_done AFTER INSERT ON job
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT WHEN (current_setting('boss.ids', true) IS DISTINCT FROM 'made')
    EXECUTE FUNCTION refuse_id_of_done();
SELECT write_out_schema();
