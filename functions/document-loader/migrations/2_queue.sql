-- What is to be loaded, and what became of it: a row for each document.

-- Written by the triggers of watch_documents() in the transaction that changes documents, and only ever added to there,
-- so that whoever writes documents waits for nobody. The function takes it from here.
create table document_change (
    id       bigint generated always as identity primary key,
    uris     text[] not null,
    noted_at timestamptz not null default current_timestamp
);

-- Compressing them costs more than writing them.
alter table document_change alter column uris set storage external;

comment on table document_change is 'URIs of documents that were added, changed or removed, until document-loader has seen them';

create table document_load (
    uri               text collate "C" primary key,
    source            bigint not null default 0,
    state             text not null default 'pending'
        check (state in ('pending', 'loading', 'loaded', 'retry', 'parked', 'failed', 'needs_ocr', 'skipped')),
    reason            text,
    last_error        text,
    attempts          integer not null default 0,
    parked_attempts   integer not null default 0,
    crashes           integer not null default 0,
    -- Of a document that is being loaded the end of the lease: should the function die, it is due again then.
    next_attempt_at   timestamptz,
    lease             uuid,
    generation        bigint not null default 1,
    etag              text,
    version_id        text,
    size              bigint,
    loaded_at         timestamptz,
    loaded_etag       text,
    loaded_version_id text,
    loaded_bytes      bigint,
    content_sha256    bytea,
    chunking_sha256   bytea,
    chunks            integer not null default 0
);

-- Whatever is due, by source: one look into it for each source that has work, however many have none.
create index document_load_due on document_load (source, next_attempt_at) where next_attempt_at is not null;
create index document_load_reason on document_load (reason) where reason is not null;

comment on table document_load is 'Of each document, what is to be done and what was. Read it through the view document_load_status';
comment on column document_load.source is 'Id in document_source; 0: none, the function''s own rights';
comment on column document_load.state is
    'pending: to be loaded. loading: being loaded. loaded: done. retry: to be tried again. parked: until somebody changes something. failed: for good. needs_ocr: has pictures of text only. skipped: its source is not loaded';
comment on column document_load.reason is 'Why it is not loaded, in one word: see the manual';
comment on column document_load.attempts is 'Tries of this version, counted before each begins';
comment on column document_load.parked_attempts is 'How many of them ended with the document being parked: those do not count against the retries';
comment on column document_load.crashes is 'Tries that nobody ended: the function died';
comment on column document_load.next_attempt_at is 'When it is due; null: there is nothing to do';
comment on column document_load.lease is 'Who loads it';
comment on column document_load.generation is 'Counts changes of the document, so that one made while it is read is not missed';
comment on column document_load.etag is 'Of the version to load, as the documents table has it';
comment on column document_load.loaded_etag is 'Of the version that its chunks are of; so loaded_version_id';
comment on column document_load.content_sha256 is 'Of the bytes that its chunks are of. Null: split it again, even if nothing changed';
comment on column document_load.chunking_sha256 is 'Of the way they were split';
comment on column document_load.chunks is 'How many chunks there are';

create table document_load_error (
    id          bigint generated always as identity primary key,
    uri         text collate "C" not null,
    occurred_at timestamptz not null default current_timestamp,
    reason      text not null,
    message     text not null,
    attempt     integer not null,
    etag        text,
    version_id  text
);

create index document_load_error_uri on document_load_error (uri, id);
create index document_load_error_occurred_at on document_load_error (occurred_at);

comment on table document_load_error is 'The last ten errors of each document, for 30 days';
comment on column document_load_error.reason is 'The class, in one word: see the manual';
comment on column document_load_error.attempt is 'Which try it was';
comment on column document_load_error.etag is 'Of the version that was tried; so version_id';

-- How far the comparison of the documents table with document_load has come: it finds what no trigger told of, such as
-- the documents that were there before.
create table document_load_comparison (
    one         boolean primary key default true check (one),
    side        text not null default 'documents' check (side in ('documents', 'loads')),
    position    text not null default '',
    finished_at timestamptz
);

insert into document_load_comparison default values;

comment on table document_load_comparison is 'How far the daily comparison of the documents table with document_load has come, in one row';
comment on column document_load_comparison.side is 'documents: looking for documents that are not known. loads: looking for loads without a document';
comment on column document_load_comparison.position is 'The last URI that was looked at';

create view document_load_status as
    select
        load.uri,
        coalesce(source.prefix, '') as source,
        case when load.state in ('pending', 'retry') and source.blocked_until > current_timestamp then 'parked'
            else load.state end as state,
        case when load.state in ('pending', 'retry') and source.blocked_until > current_timestamp then source.blocked_reason
            else load.reason end as reason,
        load.attempts,
        case when load.state in ('pending', 'retry') and source.blocked_until > current_timestamp then source.blocked_message
            else load.last_error end as last_error,
        greatest(load.next_attempt_at, source.blocked_until) as next_attempt_at,
        load.loaded_at,
        load.chunks,
        -- Compared as far as the documents table tells what is to be loaded.
        load.loaded_at is not null and (
            coalesce(load.etag <> load.loaded_etag, false)
            or coalesce(load.version_id <> load.loaded_version_id, false)
        ) as is_outdated
    from document_load as load
    left join document_source as source on source.id = load.source;

comment on view document_load_status is 'Of each document: is it loaded, and if not, why, and when is it tried next';
comment on column document_load_status.source is 'The prefix of its source; empty: none';
comment on column document_load_status.state is 'As in document_load; parked also where the whole source is blocked';
comment on column document_load_status.is_outdated is 'Whether its text is that of an older version, until the present one is loaded';

create function requeue(
    pattern text default null,
    source text default null,
    reason text default null
) returns bigint
language plpgsql
as $$
declare
    requeued bigint;
begin
    if coalesce(requeue.pattern, requeue.source, requeue.reason) is null then
        raise exception 'say which documents: by a URI or a pattern of them, a source, or a reason';
    end if;
    -- Locked in one order, which is also the function's.
    with chosen as (
        select uri from document_load
        where (requeue.pattern is null or uri = requeue.pattern or uri like requeue.pattern)
            and (requeue.reason is null or document_load.reason = requeue.reason)
            and (requeue.source is null or document_load.source = (
                select id from document_source where prefix = requeue.source
            ))
            and state <> 'skipped'
        order by uri for update
    )
    update document_load set
        state = case when document_load.lease is null then 'pending' else state end,
        next_attempt_at = case when document_load.lease is null then current_timestamp else next_attempt_at end,
        generation = generation + 1,
        attempts = 0,
        parked_attempts = 0,
        crashes = 0,
        content_sha256 = null
    from chosen where document_load.uri = chosen.uri;
    get diagnostics requeued = row_count;
    return requeued;
end
$$;

comment on function requeue(text, text, text) is
    'Has documents loaded again from scratch, whatever their state, and returns how many: those of a URI or a LIKE pattern of URIs, of a source (its prefix), with a reason, or all of that together';

-- Which documents belong to a source, and what becomes of them, follows the sources. Rows are locked in one order, which
-- is also the function's.
create function document_source_changed() returns trigger
language plpgsql
as $$
declare
    -- Written into the statement, because an index is searched for a pattern only if it is known beforehand.
    beginning text;
begin
    -- While documents are entered into the queue, nobody changes the sources by which that is done: the bytes of `docnote`.
    perform pg_advisory_xact_lock(x'646f636e6f7465'::bigint);
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or new.prefix <> old.prefix) then
        with strayed as (
            select uri from document_load where document_load.source = old.id order by uri for update
        ), settled as (
            select strayed.uri, source_of(strayed.uri) as id from strayed
        )
        update document_load set
            source = settled.id,
            generation = generation + (lease is not null)::integer,
            state = case
                when lease is not null then state
                when not coalesce(now_in.load, true) and state in ('pending', 'retry', 'parked') then 'skipped'
                when coalesce(now_in.load, true) and state in ('skipped', 'parked') then 'pending'
                else state
            end,
            next_attempt_at = case
                when lease is not null then next_attempt_at
                when not coalesce(now_in.load, true) and state in ('pending', 'retry', 'parked') then null
                when coalesce(now_in.load, true) and state in ('skipped', 'parked') then current_timestamp
                else next_attempt_at
            end
        from settled left join document_source as now_in on now_in.id = settled.id
        where document_load.uri = settled.uri;
    end if;
    if tg_op <> 'DELETE' and (tg_op = 'INSERT' or new.prefix <> old.prefix) then
        beginning := replace(replace(replace(new.prefix, '\', '\\'), '%', '\%'), '_', '\_') || '%';
        -- Those with a longer prefix stay where they are.
        execute format(
            'with gained as (
                select uri from document_load where uri like %L and source_of(uri) = %s order by uri for update
            )
            update document_load set source = %2$s from gained where document_load.uri = gained.uri',
            beginning, new.id
        );
    end if;
    if tg_op = 'DELETE' then
        return null;
    end if;
    with concerned as (
        select uri from document_load
        where document_load.source = new.id and case
            when lease is not null then true
            when not new.load then state in ('pending', 'retry', 'parked')
            else state in ('skipped', 'parked')
                or (state = 'failed' and reason = 'too_large' and tg_op = 'UPDATE'
                    and new.max_bytes is distinct from old.max_bytes)
        end
        order by uri for update
    )
    update document_load set
        -- One that is being loaded begins again when it ends.
        generation = generation + (lease is not null)::integer,
        state = case when lease is not null then state when new.load then 'pending' else 'skipped' end,
        next_attempt_at = case when lease is not null then next_attempt_at when new.load then current_timestamp end,
        attempts = case when lease is not null then attempts else 0 end,
        parked_attempts = case when lease is not null then parked_attempts else 0 end
    from concerned where document_load.uri = concerned.uri;
    update document_source set
        revision = revision + 1,
        failures = 0, blocked_until = null, blocked_reason = null, blocked_message = null, verified_at = null
    where id = new.id;
    return null;
end
$$;

comment on function document_source_changed() is 'Keeps document_load in step with document_source';

create trigger document_source_changed
    after insert or delete or update of
        prefix, role_arn, external_id, region, expected_bucket_owner, requester_pays, load, retries, max_bytes
    on document_source for each row execute function document_source_changed();
