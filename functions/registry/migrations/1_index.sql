-- What queries know of the bucket's artifacts. The bucket is the truth: all of this may be dropped, and is made anew
-- from it.
create table registry_artifact (
    -- The artifact's id and a slash, so that the order is that of the bucket's listing, in which a-b comes before a.
    -- The place without an id is there once everything has been looked at, with the bucket for a name.
    place       text collate "C" primary key,
    stamp       bigint not null,      -- counts the changes of the row; who has not seen the last one makes none
    etag        text,                 -- of the object that the row tells of; null where there is none any more
    name        text collate "C",     -- null where the object is no artifact
    kind        text collate "C",     -- the same
    description text collate "C" not null,
    member      text,                 -- JSON: what lineage and cost need
    has_claim   boolean not null,     -- whether its URL is known to be its own
    format      smallint not null,    -- which version of the registry made the row from the object
    settled_at  timestamptz not null default current_timestamp
);

-- A name may be longer than an entry of an index.
create index registry_artifact_name on registry_artifact (left(name, 256), kind, place) where kind is not null;
create index registry_artifact_kind on registry_artifact (kind, place) where kind is not null;
create index registry_artifact_gone on registry_artifact (settled_at) where etag is null;

-- Under which keys artifacts may be meant, and by which keys they mean others.
create table registry_relation (
    key          text collate "C" not null,
    is_reference boolean not null,
    place        text collate "C" not null,
    primary key (key, is_reference, place)
);

create index registry_relation_place on registry_relation (place);

-- Changes under way in the bucket that the index may not know yet.
create table registry_unsettled (
    place    text collate "C" not null,
    writer   uuid not null,
    due_at   timestamptz not null,    -- from then on queries look at the object themselves
    final_at timestamptz not null,    -- from then on the writer cannot be at work any more
    primary key (place, writer)
);

create index registry_unsettled_due on registry_unsettled (due_at);

-- How far a comparison of the bucket with the index has come, and what the last one found.
create table registry_rebuild (
    dry_run      boolean primary key,
    thorough     boolean not null,    -- every object is read, whatever its tag
    started_at   timestamptz not null,
    finished_at  timestamptz,
    leased_until timestamptz,         -- an instance works on it until then at the latest
    position     text collate "C",    -- everything up to this key has been compared
    counts       text not null        -- JSON
);

-- Searches in names and descriptions: without this index they read all of them, and find the same. Its operators are
-- an extension that a role may not be allowed to make, or that is not installed.
do $$
begin
    create extension if not exists pg_trgm;
    create index registry_artifact_text on registry_artifact
        using gin (lower(name || E'\n' || description) gin_trgm_ops) where kind is not null;
exception
    when insufficient_privilege or undefined_file or undefined_object or feature_not_supported then
        raise warning 'searches in descriptions have no index: %', sqlerrm;
end
$$;
