-- What the user's application reads: one row per object that is there now.
create table if not exists document (
    id            bigint generated always as identity primary key,
    uri           text not null unique, -- s3://bucket/key, the key as it is, not encoded
    title         text not null,        -- last segment of the key
    size          bigint,               -- bytes
    etag          text,                 -- without quotes
    version_id    text,                 -- null in a bucket without versions
    last_modified timestamptz,          -- when the object became what it is, by S3's clock
    updated_at    timestamptz not null default current_timestamp
);

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
