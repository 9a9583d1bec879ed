-- The text of documents, in pieces that can be searched, and extended by tables of the user's own.

create table document_chunk (
    id          bigint generated always as identity primary key,
    uri         text collate "C" not null,
    chunk_order integer not null,
    text        text not null,
    start_char  integer not null,
    end_char    integer not null,
    page        integer,
    heading     text,
    -- PostgreSQL refuses a tsvector beyond a megabyte. Chunks are far shorter, unless they are whole documents.
    search      tsvector generated always as (to_tsvector('english', left(text, 150000))) stored,
    unique (uri, chunk_order)
);

create index document_chunk_search on document_chunk using gin (search);

comment on table document_chunk is
    'The text of documents in pieces. A row never changes: where the text did, another row with another id takes its place, in one transaction for each document';
comment on column document_chunk.id is 'What tables of your own refer to, with on delete cascade';
comment on column document_chunk.uri is 'The document''s';
comment on column document_chunk.chunk_order is 'From 0';
comment on column document_chunk.start_char is 'Where it begins in the document''s text, in characters from 0';
comment on column document_chunk.end_char is 'Behind its last character';
comment on column document_chunk.page is 'On which it begins, from 1; null where there are none';
comment on column document_chunk.heading is 'Under which it begins; null where there is none';
comment on column document_chunk.search is 'Its words, in the language of set_search_language()';

create function search_documents(
    query text,
    max_results integer default 10,
    uri_prefix text default null
) returns table (
    uri text, rank real, snippet text, chunk_id bigint, chunk_order integer, page integer, heading text,
    start_char integer, end_char integer
)
language plpgsql stable
as $$
declare
    language regconfig := (select value from document_loader_setting where name = 'search_language');
    words tsquery := websearch_to_tsquery(language, search_documents.query);
begin
    return query
        with best as (
            select distinct on (chunk.uri)
                chunk.uri, ts_rank_cd(chunk.search, words, 1) as rank, chunk.id
            from document_chunk as chunk
            where chunk.search @@ words
                and (search_documents.uri_prefix is null or starts_with(chunk.uri, search_documents.uri_prefix))
            order by chunk.uri, rank desc, chunk.chunk_order
        ), first as (
            select * from best order by best.rank desc, best.uri limit greatest(search_documents.max_results, 0)
        )
        select first.uri, first.rank, ts_headline(language, left(chunk.text, 10000), words, 'MaxFragments=2, MaxWords=24, MinWords=8'),
            chunk.id, chunk.chunk_order, chunk.page, chunk.heading, chunk.start_char, chunk.end_char
        from first join document_chunk as chunk on chunk.id = first.id
        order by first.rank desc, first.uri;
end
$$;

comment on function search_documents(text, integer, text) is
    'The documents that have these words, best first, each with the chunk that fits best and a snippet of it, words found in <b>. Understands "phrases", or and -without. Optionally only those whose URI begins so';

create function set_search_language(language regconfig) returns void
language plpgsql
as $$
begin
    execute format(
        'alter table document_chunk drop column search, add column search tsvector generated always as (to_tsvector(%L::regconfig, left(text, 150000))) stored',
        language
    );
    create index document_chunk_search on document_chunk using gin (search);
    comment on column document_chunk.search is 'Its words, in the language of set_search_language()';
    update document_loader_setting set value = language::text where name = 'search_language';
end
$$;

comment on function set_search_language(regconfig) is
    'The language whose endings and stop words searching takes account of: english at first; simple for none. Rewrites document_chunk, which nobody can read meanwhile';
