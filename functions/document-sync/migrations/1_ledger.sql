-- The order of events, per object, deleted ones included: without the tombstones a late event would
-- bring a deleted document back. Kept narrow, because every document pays for a row here.
create table if not exists s3_object (
    -- First half of the SHA-256 of bucket/key: an index over the keys themselves costs twice as much. From a URI:
    -- encode(substr(sha256(convert_to(substr(uri, 6), 'UTF8')), 1, 16), 'hex')::uuid
    object     uuid primary key,
    event_time timestamptz not null,
    size       bigint,
    deleted    boolean not null, -- gone, hidden by a delete marker, or not a document
    changed    boolean not null, -- whether the last event changed etag, size, version or presence
    sequencer  bytea not null,   -- of the last event, left-padded to 16 bytes
    etag       text,
    version_id text,
    uri        text              -- of a deleted object; the documents table has the others
);

-- For forgetting deleted objects when no event about them can be on its way any more.
create index if not exists s3_object_tombstone on s3_object (event_time) where deleted;
