-- Who may do what, who did it, and what a source is held to.

-- Who sent the request that did it: the name of their token, NULL while nobody needs one.
ALTER TABLE job
    ADD COLUMN submitted_by varchar(100) COLLATE "C",
    ADD COLUMN taken_by     varchar(100) COLLATE "C",
    ADD COLUMN finished_by  varchar(100) COLLATE "C",
    -- The attempts before this one, oldest first: who had it, and how each ended (finishes.py, maintenance.py).
    ADD COLUMN history      jsonb;

CREATE TABLE token
(
    name       varchar(100) COLLATE "C" PRIMARY KEY,
    -- SHA-256 of the token. It is 32 random bytes, which nobody can guess from a hash, so it needs no slow one.
    hash       bytea       NOT NULL UNIQUE,
    role       varchar(20) COLLATE "C" NOT NULL CHECK (role IN ('converter', 'submitter', 'admin')),
    -- The sources it is good for; NULL: all.
    sources    text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by varchar(100) COLLATE "C",
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Written down every few seconds at most.
    used_at    timestamptz
);

-- What administrators did that is not kept with a job.
CREATE TABLE act
(
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    by     varchar(100) COLLATE "C",
    did    text  NOT NULL,
    what   jsonb NOT NULL
);

-- Sources that are paused, or have so many jobs active at most. One without a row here is held to nothing.
CREATE TABLE source_rule
(
    source      varchar(100) COLLATE "C" PRIMARY KEY,
    paused      boolean NOT NULL DEFAULT false,
    most_active integer CHECK (most_active > 0)
);
