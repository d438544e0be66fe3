-- Limits in time: of an attempt, and of a job that nobody takes.

-- As in 0014_notes.sql.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

ALTER TABLE job
    -- How many seconds an attempt may take. NULL: as long as its lease is renewed.
    ADD COLUMN timeout    integer,
    -- When the job ends if nobody has taken it. NULL: never.
    ADD COLUMN expires_at timestamptz;
-- In a statement of their own, and not for the rows there are, so that these need not be read.
ALTER TABLE job
    ADD CONSTRAINT job_timeout_is_positive CHECK (timeout > 0) NOT VALID,
    ADD CONSTRAINT job_expiry_is_readable CHECK (expires_at > '0002-01-01' AND expires_at < '9999-01-01') NOT VALID;

-- The jobs that end at a given time if nobody has taken them; whether somebody has is seen then. An index of `job` would
-- have to be built while nobody can change a job, and a long history makes that long.
CREATE TABLE expiry
(
    id varchar(64) COLLATE "C" PRIMARY KEY,
    at timestamptz NOT NULL
);
CREATE INDEX expiry_at ON expiry (at);

-- Whoever may change the limits of sources may use this.
DO
$$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
               string_agg(privilege_type, ', ') AS privileges
        FROM pg_class, aclexplode(relacl)
        WHERE oid = 'source_rule'::regclass AND grantee <> relowner
        GROUP BY grantee
    LOOP
        EXECUTE format('GRANT %s ON expiry TO %s', granted.privileges, granted.role);
    END LOOP;
END
$$;
