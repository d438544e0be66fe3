-- How large a job is to who reads it, so that nobody is given more than they can take.

-- The bytes of the text of its document and its result, or a few more. NULL: not known, as after a submit by hand, or by
-- the version before; then it is measured whenever it is asked for (store/sizes.py).
ALTER TABLE job
    ADD COLUMN document_bytes integer,
    ADD COLUMN result_bytes   integer;

-- The bytes of the value's text; `most` + 1 when they are more than that. jsonb writes the exponents of numbers out in
-- full, so that a few bytes can be a text of hundreds of megabytes: numbers that are long as text are counted first, one
-- by one. (As an array, for jsonb_path_query takes ten seconds for a half million of them.)
CREATE FUNCTION text_bytes(value jsonb, most integer) RETURNS integer LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS
$$
DECLARE
    number jsonb;
    size   bigint := 0;
BEGIN
    IF pg_column_size(value) > most THEN
        RETURN most + 1;
    END IF;
    FOR number IN
        SELECT each
        FROM jsonb_array_elements(jsonb_path_query_array(value, 'strict $.** ? (@.type() == "number")')) AS numbers(each)
        WHERE each::numeric NOT BETWEEN -1e20 AND 1e20 OR scale(each::numeric) > 20
    LOOP
        size := size + octet_length(number::text);
        IF size > most THEN
            RETURN most + 1;
        END IF;
    END LOOP;
    RETURN least(octet_length(value::text), most + 1);
EXCEPTION
    -- Longer than any text can be.
    WHEN program_limit_exceeded OR out_of_memory THEN
        RETURN most + 1;
END
$$;

-- A document or a result that is changed by hand is of another size than before.
CREATE FUNCTION forget_size() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF NEW.document IS DISTINCT FROM OLD.document THEN
        UPDATE job SET document_bytes = NULL WHERE id = NEW.id;
    ELSE
        UPDATE job SET result_bytes = NULL WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_document_size AFTER UPDATE OF document ON job
    FOR EACH ROW
    WHEN (NEW.document_bytes IS NOT DISTINCT FROM OLD.document_bytes AND NEW.document IS DISTINCT FROM OLD.document)
EXECUTE FUNCTION forget_size();
CREATE TRIGGER forget_result_size AFTER UPDATE OF result ON job
    FOR EACH ROW
    WHEN (NEW.result_bytes IS NOT NULL AND NEW.result_bytes IS NOT DISTINCT FROM OLD.result_bytes
          AND NEW.result IS DISTINCT FROM OLD.result)
EXECUTE FUNCTION forget_size();

-- Takes lock and then count, in one statement: no replica that is stopped in between keeps others waiting. A function's
-- own statements see what has been committed by now, its caller's only what had been when it began.

-- Those of these keys of takes that hold jobs. Nobody else takes with one of them until the transaction is over. Locked
-- in order of the key, so that two replicas lock in the same order.
CREATE FUNCTION held_keys(keys text[]) RETURNS SETOF text LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(key, 0))
    FROM (SELECT DISTINCT unnest(keys) AS key ORDER BY 1) AS asked;
    RETURN QUERY SELECT DISTINCT job.take_key FROM job WHERE status = 'ACTIVE' AND job.take_key = ANY (keys);
END
$$;

-- The sources with available jobs that their rules let be taken, of these or of all when NULL: how many jobs of each are
-- active, and how many more may be, NULL for any number. Nobody else takes by the rules until the transaction is over, so
-- that what is counted does not grow; jobs that are finished meanwhile only make room. The number is "bossrule" in ASCII, that of source_limits.py.
CREATE FUNCTION room_by_rules(sources text[])
    RETURNS TABLE (source varchar, active bigint, room bigint) LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM pg_advisory_xact_lock(7093014877810551909);
    RETURN QUERY SELECT * FROM room_now(sources);
END
$$;

-- The same at this moment, for who only looks.
CREATE FUNCTION room_now(sources text[])
    RETURNS TABLE (source varchar, active bigint, room bigint) LANGUAGE sql STABLE AS
$$
    SELECT counted.source, counted.active, source_rule.most_active - counted.active
    FROM (SELECT tally.source,
                 coalesce(sum(jobs) FILTER (WHERE status = 'AVAILABLE'), 0) AS available,
                 coalesce(sum(jobs) FILTER (WHERE status = 'ACTIVE'), 0)::bigint AS active
          FROM tally
          WHERE sources IS NULL OR tally.source = ANY (sources)
          GROUP BY tally.source) AS counted
    LEFT JOIN source_rule ON source_rule.source = counted.source
    WHERE available > 0 AND paused IS NOT TRUE AND (most_active IS NULL OR counted.active < most_active)
$$;

-- When a replica was last there to hear converters, in one row. While none is, no lease runs (maintenance.py).
CREATE TABLE heartbeat
(
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    at        timestamptz NOT NULL
);
INSERT INTO heartbeat (at) VALUES (now());
