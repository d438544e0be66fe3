-- The trace that a job was submitted in (https://www.w3.org/TR/trace-context/), for who takes it.

ALTER TABLE job ADD COLUMN traceparent varchar(100) COLLATE "C";
