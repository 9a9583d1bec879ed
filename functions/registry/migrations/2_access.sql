-- Calls made with a token, over all instances.
create table registry_token (
    token      uuid primary key,
    calls      integer not null,
    expires_at timestamptz not null
);

create index registry_token_expiry on registry_token (expires_at);

-- Failed logins, over all instances.
create table registry_login (
    name      text collate "C" primary key,
    failures  integer not null,
    next_at   timestamptz not null,    -- no try before then
    forget_at timestamptz not null
);

create index registry_login_expiry on registry_login (forget_at);
