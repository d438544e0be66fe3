-- Schedules: jobs that Boss submits by itself, at the moments of a cron line.

CREATE TABLE schedule
(
    -- With the moment it becomes a job's id, which has 64 characters at most.
    name           varchar(47)  COLLATE "C" PRIMARY KEY,
    source         varchar(100) COLLATE "C" NOT NULL,
    cron           text        NOT NULL,
    zone           text        NOT NULL,
    document       jsonb       NOT NULL,
    document_bytes integer     NOT NULL,
    missed         varchar(20) COLLATE "C" NOT NULL CHECK (missed IN ('run once', 'skip')),
    paused         boolean     NOT NULL,
    -- The next moment that has not been looked after.
    next_at        timestamptz NOT NULL
);
