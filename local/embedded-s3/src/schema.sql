CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    created INTEGER NOT NULL,           -- milliseconds since 1970, like every time here
    versioning TEXT,                    -- NULL, 'Enabled' or 'Suspended'
    notification TEXT,                  -- JSON, NULL where none was ever set
    account TEXT NOT NULL DEFAULT '000000000000',
    policy TEXT,                        -- JSON, NULL where there is none
    requester_pays INTEGER NOT NULL DEFAULT 0
);

-- Bytes are either a file of this name or lie in `data`.
CREATE TABLE blob (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, data BLOB);

-- A content is a row of slices of blobs; versions and parts own one each, blobs are shared.
CREATE TABLE content (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE piece (
    content INTEGER NOT NULL,
    position INTEGER NOT NULL,
    blob INTEGER NOT NULL REFERENCES blob (id),
    start INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (content, position)
) WITHOUT ROWID;
CREATE INDEX piece_of_blob ON piece (blob);

-- Keys are blobs: S3 orders them by their UTF-8 bytes, and so does memcmp.
CREATE TABLE version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket INTEGER NOT NULL REFERENCES bucket (id),
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,           -- 'null' for the version written without versioning
    sequencer INTEGER NOT NULL,         -- newest is greatest
    latest INTEGER NOT NULL,
    delete_marker INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,                 -- without quotes
    attributes TEXT NOT NULL,           -- JSON: content type, user metadata, …
    tags TEXT,                          -- JSON
    checksum TEXT,                      -- JSON: algorithm, value, type
    content INTEGER,                    -- NULL for a delete marker
    upload TEXT                         -- the multipart upload that made it
);
CREATE UNIQUE INDEX version_by_id ON version (bucket, key, version_id);
CREATE INDEX version_in_order ON version (bucket, key, sequencer DESC);
CREATE UNIQUE INDEX version_latest ON version (bucket, key) WHERE latest = 1;
CREATE INDEX version_of_upload ON version (upload) WHERE upload IS NOT NULL;

-- The parts a version was completed from, for partNumber= and GetObjectAttributes.
CREATE TABLE version_part (
    version INTEGER NOT NULL REFERENCES version (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (version, number)
) WITHOUT ROWID;

CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES bucket (id),
    key BLOB NOT NULL,
    initiated INTEGER NOT NULL,
    sequencer INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT,
    algorithm TEXT,
    checksum_type TEXT
) WITHOUT ROWID;
CREATE INDEX upload_in_order ON upload (bucket, key, sequencer);
CREATE TABLE part (
    upload TEXT NOT NULL REFERENCES upload (id),
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    checksum TEXT,
    content INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;

CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    max_receive_count INTEGER,          -- NULL: never to the dead letters
    dead_letter_queue TEXT
) WITHOUT ROWID;
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL REFERENCES queue (name),
    message_id TEXT NOT NULL,
    body TEXT NOT NULL,
    sent INTEGER NOT NULL,
    visible INTEGER NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    first_received INTEGER,
    receipt TEXT,                       -- only the newest receipt deletes or releases
    source_queue TEXT                   -- where a dead letter came from
);
CREATE INDEX message_in_order ON message (queue, visible, id);
CREATE UNIQUE INDEX message_by_receipt ON message (receipt) WHERE receipt IS NOT NULL;
