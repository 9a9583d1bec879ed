-- What is to be read by which right, and how: a row for each part of a bucket that is not simply read as the function
-- itself.

create table document_loader_setting (
    name  text primary key,
    value text not null
);

comment on table document_loader_setting is 'What document-loader keeps for its SQL functions';
comment on column document_loader_setting.name is
    'function_role_arn: the role that customers trust, noted by the function when it starts; search_language: see set_search_language()';

insert into document_loader_setting (name, value) values ('search_language', 'english');

-- Whether a text says how documents are split, in the words that the function understands.
create function is_chunking(chunking jsonb) returns boolean
language plpgsql immutable
as $$
declare
    key text;
    value jsonb;
    chunk_size integer := 800;
    chunk_overlap integer := 0;
begin
    if jsonb_typeof(chunking) is distinct from 'object' then
        return false;
    end if;
    for key, value in select * from jsonb_each(chunking) loop
        case
            when key = 'splitter' and value in ('"recursive"', '"markdown"', '"none"') then
                null;
            when key = 'chunk_size' and jsonb_typeof(value) = 'number' and value::text ~ '^[0-9]{1,5}$' then
                chunk_size := value;
            when key = 'chunk_overlap' and jsonb_typeof(value) = 'number' and value::text ~ '^[0-9]{1,5}$' then
                chunk_overlap := value;
            when key = 'separators' and jsonb_typeof(value) = 'array' and jsonb_array_length(value) between 1 and 50 then
                if exists (
                    select from jsonb_array_elements(value) as separator
                    where jsonb_typeof(separator) <> 'string' or length(separator #>> '{}') > 100
                ) then
                    return false;
                end if;
            else
                return false;
        end case;
    end loop;
    return chunk_overlap < chunk_size;
end
$$;

comment on function is_chunking(jsonb) is
    'Whether this says how documents are split: {"splitter": "recursive" (or "markdown", "none"), "chunk_size": 800, "chunk_overlap": 400, "separators": ["\n\n", …]}, all of it optional, sizes in characters, the overlap less than the size and by itself half of it, at most 400';

create table document_source (
    id                    bigint generated always as identity primary key,
    prefix                text collate "C" not null unique
        constraint prefix_is_a_place check (prefix ~ '^s3://[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]/' and octet_length(prefix) <= 1286),
    bucket                text not null generated always as (split_part(prefix, '/', 3)) stored,
    role_arn              text
        constraint role_arn_is_one check (role_arn ~ '^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$' and length(role_arn) <= 2048),
    external_id           text
        constraint external_id_is_legal check (external_id ~ '^[A-Za-z0-9_+=,.@:/-]+$' and length(external_id) between 2 and 1224),
    kms_key_arn           text
        constraint kms_key_arn_is_one check (kms_key_arn ~ '^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+$'),
    region                text
        constraint region_is_one check (region ~ '^[a-z]{2,}(-[a-z]+)+-[0-9]+$'),
    expected_bucket_owner text
        constraint expected_bucket_owner_is_an_account check (expected_bucket_owner ~ '^[0-9]{12}$'),
    requester_pays        boolean not null default false,
    load                  boolean not null default true,
    retries               integer not null default 6
        constraint retries_are_few check (retries between 0 and 100),
    max_bytes             bigint
        constraint max_bytes_is_a_size check (max_bytes > 0),
    chunking              jsonb not null default '{}'
        constraint chunking_is_understood check (is_chunking(chunking)),
    added_at              timestamptz not null default current_timestamp,
    revision              bigint not null default 0,
    -- What the function found out.
    found_region          text,
    verified_at           timestamptz,
    failures              integer not null default 0,
    blocked_until         timestamptz,
    blocked_reason        text,
    blocked_message       text,
    -- Whoever may be asked to assume a role for anyone would do it for the wrong one (the confused deputy).
    constraint role_has_an_external_id check (role_arn is null or external_id is not null)
);

create index document_source_bucket on document_source (bucket);

comment on table document_source is
    'How documents under a prefix are read. The longest prefix counts; what is under none is read with the function''s own rights. Use add_source(), change_source() and remove_source()';
comment on column document_source.prefix is 's3://bucket/ and the beginning of keys, as they are';
comment on column document_source.role_arn is 'The role to assume, in any account and partition; null: the function''s own';
comment on column document_source.external_id is 'What the role''s trust policy asks for, so that nobody else can have the function read this';
comment on column document_source.kms_key_arn is 'The key that encrypts the objects, for the permission policy; null: none of the customer''s own';
comment on column document_source.region is 'Of the bucket; null: found out';
comment on column document_source.expected_bucket_owner is 'The account that the bucket must belong to, lest somebody else make one of its name; null: not checked';
comment on column document_source.requester_pays is 'Whether the function agrees to pay for requests';
comment on column document_source.load is 'Whether documents are loaded. If not, they are skipped, and text that is there stays';
comment on column document_source.retries is 'How often a document is tried again before it has failed';
comment on column document_source.max_bytes is 'Larger objects are not loaded; null: what the function is set to';
comment on column document_source.chunking is 'How text is split; see is_chunking()';
comment on column document_source.revision is 'Counts changes of the source, so that what was refused before one is asked for again';
comment on column document_source.found_region is 'Where S3 said the bucket is';
comment on column document_source.verified_at is 'When an invocation {"verify": …} last found that everything works';
comment on column document_source.failures is 'How often in a row the role could not be assumed';
comment on column document_source.blocked_until is 'Until then no document is tried, because the role could not be assumed; null: it is not blocked';
comment on column document_source.blocked_reason is 'Why it is blocked, in one word';
comment on column document_source.blocked_message is 'Why it is blocked';

-- The source of a document, 0 if there is none.
create function source_of(uri text) returns bigint
language sql stable
as $$
    select coalesce((
        select id from document_source
        where bucket = split_part(source_of.uri, '/', 3) and starts_with(source_of.uri, prefix)
        order by length(prefix) desc limit 1
    ), 0)
$$;

comment on function source_of(text) is 'The id of the source with the longest prefix of this URI; 0: none, so the function''s own rights count';

-- In policies * and ? stand for anything and $ begins a variable, unless written as variables themselves.
create function policy_literal(text) returns text
language sql immutable
as $$
    select replace(replace(replace($1, '$', '${$}'), '*', '${*}'), '?', '${?}')
$$;

comment on function policy_literal(text) is 'A text for an IAM policy in which nothing is a wildcard or a variable';

create function new_external_id() returns text
language sql volatile
as $$
    select 'holdfast-' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
$$;

comment on function new_external_id() is 'An external id that nobody guesses: 244 random bits';

create function source_policies(prefix text, principal text default null)
returns table (sts_external_id text, trust_policy jsonb, permission_policy jsonb)
language plpgsql stable
as $$
declare
    source document_source;
    beginning text;
    place text;
    function_role text;
begin
    select * into source from document_source where document_source.prefix = source_policies.prefix;
    if not found then
        raise exception 'there is no source %', source_policies.prefix using errcode = 'no_data_found';
    end if;
    if source.role_arn is null then
        return query select null::text, null::jsonb, null::jsonb;
        return;
    end if;
    function_role := coalesce(source_policies.principal, (
        select value from document_loader_setting where name = 'function_role_arn'
    ));
    if function_role is null then
        raise exception 'whom the role is to trust is not known yet'
            using hint = 'Set LOADER_ROLE_ARN and start the function once, or give its role as principal.';
    end if;
    place := format('arn:%s:s3:::%s', split_part(source.role_arn, ':', 2), source.bucket);
    beginning := policy_literal(substr(source.prefix, length('s3://' || source.bucket || '/') + 1)) || '*';
    sts_external_id := source.external_id;
    trust_policy := jsonb_build_object('Version', '2012-10-17', 'Statement', jsonb_build_array(jsonb_build_object(
        'Effect', 'Allow',
        'Principal', jsonb_build_object('AWS', function_role),
        'Action', 'sts:AssumeRole',
        'Condition', jsonb_build_object('StringEquals', jsonb_build_object('sts:ExternalId', source.external_id))
    )));
    permission_policy := jsonb_build_object('Version', '2012-10-17', 'Statement', jsonb_build_array(
        jsonb_build_object(
            'Sid', 'ReadDocuments',
            'Effect', 'Allow',
            'Action', jsonb_build_array('s3:GetObject', 's3:GetObjectVersion'),
            'Resource', place || '/' || beginning
        ),
        jsonb_build_object(
            'Sid', 'TellMissingFromForbidden',
            'Effect', 'Allow',
            'Action', 's3:ListBucket',
            'Resource', place,
            'Condition', jsonb_build_object('StringLike', jsonb_build_object('s3:prefix', beginning))
        )
    ) || case when source.kms_key_arn is null then '[]'::jsonb else jsonb_build_array(
        jsonb_build_object(
            'Sid', 'DecryptDocuments',
            'Effect', 'Allow',
            'Action', 'kms:Decrypt',
            'Resource', source.kms_key_arn,
            'Condition', jsonb_build_object('StringLike', jsonb_build_object('kms:ViaService', 's3.*'))
        )
    ) end);
    return next;
end
$$;

comment on function source_policies(text, text) is
    'The two policies to paste into the customer''s account: the trust policy of the role, and its permissions. Nulls for a source without a role';

create function add_source(
    prefix text,
    role_arn text default null,
    external_id text default null,
    kms_key_arn text default null,
    region text default null,
    expected_bucket_owner text default null,
    requester_pays boolean default false,
    load boolean default true,
    retries integer default 6,
    max_bytes bigint default null,
    chunking jsonb default '{}',
    principal text default null
) returns table (sts_external_id text, trust_policy jsonb, permission_policy jsonb)
language plpgsql
as $$
begin
    insert into document_source (
        prefix, role_arn, external_id, kms_key_arn, region, expected_bucket_owner, requester_pays, load, retries,
        max_bytes, chunking
    ) values (
        add_source.prefix, add_source.role_arn,
        coalesce(add_source.external_id, case when add_source.role_arn is not null then new_external_id() end),
        add_source.kms_key_arn, add_source.region, add_source.expected_bucket_owner, add_source.requester_pays,
        add_source.load, add_source.retries, add_source.max_bytes, add_source.chunking
    );
    return query select * from source_policies(add_source.prefix, add_source.principal);
end
$$;

comment on function add_source is
    'Says how documents under a prefix are read, and returns what to paste into the customer''s account. Without an external id an unguessable one is made';

create function change_source(
    prefix text,
    role_arn text default null,
    external_id text default null,
    kms_key_arn text default null,
    region text default null,
    expected_bucket_owner text default null,
    requester_pays boolean default null,
    load boolean default null,
    retries integer default null,
    max_bytes bigint default null,
    chunking jsonb default null,
    principal text default null
) returns table (sts_external_id text, trust_policy jsonb, permission_policy jsonb)
language plpgsql
as $$
begin
    update document_source as known set
        role_arn = nullif(coalesce(change_source.role_arn, known.role_arn), ''),
        external_id = coalesce(
            nullif(coalesce(change_source.external_id, known.external_id), ''),
            case when nullif(coalesce(change_source.role_arn, known.role_arn), '') is not null then new_external_id() end
        ),
        kms_key_arn = nullif(coalesce(change_source.kms_key_arn, known.kms_key_arn), ''),
        region = nullif(coalesce(change_source.region, known.region), ''),
        expected_bucket_owner = nullif(coalesce(change_source.expected_bucket_owner, known.expected_bucket_owner), ''),
        requester_pays = coalesce(change_source.requester_pays, known.requester_pays),
        load = coalesce(change_source.load, known.load),
        retries = coalesce(change_source.retries, known.retries),
        max_bytes = nullif(coalesce(change_source.max_bytes, known.max_bytes), 0),
        chunking = coalesce(change_source.chunking, known.chunking)
    where known.prefix = change_source.prefix;
    if not found then
        raise exception 'there is no source %', change_source.prefix using errcode = 'no_data_found';
    end if;
    return query select * from source_policies(change_source.prefix, change_source.principal);
end
$$;

comment on function change_source is
    'Changes what is given of a source; an empty text, or 0 for max_bytes, takes a value away, and an external id that is taken away is made anew. Documents that were parked are tried again. Text that is there is not split anew: see requeue()';

create function remove_source(prefix text) returns boolean
language plpgsql
as $$
begin
    delete from document_source where document_source.prefix = remove_source.prefix;
    return found;
end
$$;

comment on function remove_source(text) is
    'Forgets a source; false if there was none. Its documents belong to the next shorter prefix, or are read with the function''s own rights. Text that is there stays';
