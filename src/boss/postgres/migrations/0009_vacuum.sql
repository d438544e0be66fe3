-- Vacuums that keep the heads of the queue clean beside a long history, at a cost that each job shares.
--
-- Each job leaves two dead rows, and their entries at the head of the ready indexes. With PostgreSQL's own settings they
-- stay for up to a million jobs beside ten million done ones (a fifth of the table), or a vacuum that was due to new
-- rows cleans up the table and not the indexes. A vacuum reads all indexes (0.7 s of processor time beside ten million
-- done jobs), and so it comes after a share of the table, a twentieth, and then always cleans up the indexes. One that is
-- due to new rows alone is never needed: where there are new jobs, there are dead rows.

-- This lock waits for a vacuum, and for no statement of Boss; none waits for it. After a second (deadlock_timeout)
-- PostgreSQL ends an autovacuum that it waits for.
SET LOCAL lock_timeout = '3s';
ALTER TABLE job SET (
    vacuum_index_cleanup = on,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = -1
);
