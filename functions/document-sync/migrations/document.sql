-- What the user's application reads: one row per object that is there now. Made only where no other table is named.
create table if not exists document (
    id            bigint generated always as identity primary key,
    -- s3://bucket/key, the key as it is, not encoded; in the order in which S3 lists
    uri           text collate "C" not null unique,
    title         text not null,        -- last segment of the key
    size          bigint,               -- bytes
    etag          text,                 -- without quotes
    version_id    text,                 -- null in a bucket without versions
    last_modified timestamptz,          -- when the object became what it is, by S3's clock
    updated_at    timestamptz not null default current_timestamp
);
