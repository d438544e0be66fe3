-- The design's own statements, one transaction each: submit, take, done.
\set number random(1, 1000000000000)
INSERT INTO job (id, status, source, document)
VALUES ('c' || :client_id || '-' || :number, 'AVAILABLE', 'bench', '{"payload": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}')
ON CONFLICT DO NOTHING;
UPDATE job SET status = 'ACTIVE'
WHERE id = (SELECT id FROM job WHERE status = 'AVAILABLE' ORDER BY id LIMIT 1)
RETURNING id AS taken \gset
UPDATE job SET status = 'DONE' WHERE id = :taken;
