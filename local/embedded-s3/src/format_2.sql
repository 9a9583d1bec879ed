-- From format 1 to 2: buckets have owners and policies; sessions are kept by IAM, and those of format 1, which no role
-- stood behind, end.
ALTER TABLE bucket ADD COLUMN account TEXT NOT NULL DEFAULT '000000000000';
ALTER TABLE bucket ADD COLUMN policy TEXT;
ALTER TABLE bucket ADD COLUMN requester_pays INTEGER NOT NULL DEFAULT 0;
DROP TABLE session;
