-- A converter may leave a note with its job, for the next attempt.

-- The first lock waits for a vacuum, as in 0009_vacuum.sql; the second one, which makes others wait, then does not.
SET LOCAL lock_timeout = '3s';
LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '300ms';

ALTER TABLE job ADD COLUMN note jsonb;
