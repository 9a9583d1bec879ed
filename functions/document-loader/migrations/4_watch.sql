-- How document-loader learns of documents that anybody adds, changes or removes: by triggers that note their URIs.
-- They run as whoever made them, because others who write documents need no rights on our tables.

-- The argument of the trigger: the columns that tell whether a document changed; without one, every update does.
create function note_documents() returns trigger
language plpgsql security definer
as $$
begin
    case tg_op
        when 'INSERT' then
            insert into document_change (uris)
                select array_agg(uri::text)
                from (select uri, (row_number() over () - 1) / 500 as part from new_rows) as numbered
                group by part;
        when 'UPDATE' then
            execute format(
                'insert into document_change (uris)
                    select array_agg(uri)
                    from (
                        select uri, (row_number() over () - 1) / 500 as part
                        from (
                            select uri from (select uri::text%1$s from new_rows except all select uri::text%1$s from old_rows) as new_row
                            union
                            select uri from (select uri::text%1$s from old_rows except all select uri::text%1$s from new_rows) as old_row
                            %2$s
                        ) as changed
                    ) as numbered
                    group by part',
                coalesce(', ' || nullif(tg_argv[0], ''), ''),
                case when coalesce(tg_argv[0], '') = '' then 'union select uri::text from new_rows' else '' end
            );
        when 'DELETE' then
            insert into document_change (uris)
                select array_agg(uri::text)
                from (select uri, (row_number() over () - 1) / 500 as part from old_rows) as numbered
                group by part;
        when 'TRUNCATE' then
            delete from document_chunk;
            update document_load_comparison set side = 'loads', position = '', finished_at = null;
            return null;
    end case;
    if tg_op in ('UPDATE', 'DELETE') then
        -- What is gone is not to be found any more. Later than the noting, so that it sees the chunks of a load that
        -- this statement has waited for. The array makes each a look into the index.
        execute format(
            'delete from document_chunk where id = any (array(
                select chunk.id from old_rows, lateral (
                    select id from document_chunk where document_chunk.uri = old_rows.uri::text collate "C" offset 0
                ) as chunk
                where not exists (select from %s as known where known.uri = old_rows.uri)
            ))',
            tg_relid::regclass
        );
    end if;
    return null;
end
$$;

comment on function note_documents() is 'Notes which documents a statement added, changed or removed, and removes the text of those that are gone';

-- Unqualified names in it mean our tables, whoever runs it, and nobody's temporary ones.
do $$
begin
    execute format('alter function note_documents() set search_path = pg_catalog, %I, pg_temp', current_schema());
end
$$;

create function unwatch_documents(documents regclass) returns void
language plpgsql
as $$
declare
    known name;
begin
    for known in
        select tgname from pg_trigger where tgrelid = documents and tgname like 'document\_loader\_%' and not tgisinternal
    loop
        execute format('drop trigger %I on %s', known, documents);
    end loop;
end
$$;

comment on function unwatch_documents(regclass) is 'Takes the triggers of watch_documents() off a table';

create function watch_documents(documents regclass) returns void
language plpgsql
as $$
declare
    -- What tells a version from another, or, where there is nothing of the kind, whether anything was written.
    identity text := (
        select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
        where attrelid = documents and not attisdropped and attname in ('etag', 'version_id', 'size', 'last_modified')
    );
begin
    if not exists (
        select from pg_attribute where attrelid = documents and attname = 'uri' and not attisdropped
    ) then
        raise exception 'the table % has no column uri', documents;
    end if;
    if identity is null then
        identity := (
            select quote_ident(attname) from pg_attribute
            where attrelid = documents and not attisdropped and attname = 'updated_at'
        );
    end if;
    perform unwatch_documents(documents);
    execute format(
        'create trigger document_loader_insert after insert on %s
            referencing new table as new_rows for each statement execute function note_documents()',
        documents
    );
    execute format(
        'create trigger document_loader_update after update on %s
            referencing old table as old_rows new table as new_rows for each statement execute function note_documents(%L)',
        documents, coalesce(identity, '')
    );
    execute format(
        'create trigger document_loader_delete after delete on %s
            referencing old table as old_rows for each statement execute function note_documents()',
        documents
    );
    execute format(
        'create trigger document_loader_truncate after truncate on %s for each statement execute function note_documents()',
        documents
    );
    -- What was written before is found by the comparison, which begins anew.
    update document_load_comparison set side = 'documents', position = '', finished_at = null;
end
$$;

comment on function watch_documents(regclass) is
    'Makes document-loader learn of every change of this table. The function does it by itself where it may; to be called by the table''s owner where it may not, and again when columns were added';
