-- How far the comparison of a bucket with the documents table has come, and what the last one found.
create table reconcile_run (
    bucket        text not null,
    prefix        text not null,
    dry_run       boolean not null,
    state         text not null,       -- unfinished, finished or refused
    started_at    timestamptz not null,
    finished_at   timestamptz,
    leased_until  timestamptz,         -- an instance works on it until then at the latest
    position      text collate "C",    -- everything up to this key has been compared
    compared      boolean not null,    -- the whole bucket has; what is left is to remove surplus documents
    listed        bigint not null,     -- objects
    documents     bigint not null,     -- rows of the documents table
    missing       bigint not null,     -- objects without a row
    different     bigint not null,     -- rows unlike their object, or unlike the ledger
    surplus       bigint not null,     -- rows without an object
    repaired      bigint not null,     -- rows written or removed
    superseded    bigint not null,     -- an event was faster
    failed        bigint not null,     -- left as they were: S3 could not be asked, or the database refused the row
    primary key (bucket, prefix, dry_run)
);

-- Documents without an object, until the run knows how many there are.
create table reconcile_surplus (
    bucket  text not null,
    prefix  text not null,
    uri     text collate "C" not null,
    primary key (bucket, prefix, uri)
);
