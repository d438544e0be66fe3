-- What the page shows that cannot be told from the queue: what failed last, and how much was done in each minute.

CREATE INDEX job_failed ON job (finished_at) WHERE status = 'DONE' AND outcome IN ('failed', 'abandoned');

-- One row for each source with something done in that minute of about the last hour, and one with the source '' for all
-- together, by which a replica sees that another one has counted the minute.
CREATE TABLE throughput
(
    minute   timestamptz NOT NULL,
    source   varchar(100) COLLATE "C" NOT NULL,
    finished bigint NOT NULL,
    -- Seconds from submit to take, on average, of those that needed one attempt.
    waited   double precision,
    PRIMARY KEY (minute, source)
);
