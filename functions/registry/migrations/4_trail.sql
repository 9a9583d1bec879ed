-- How far the audit trail was verified, sealed by the registry's key: who can write here cannot make it up.
create table registry_trail (
    store       text collate "C" primary key,
    note        text not null,
    verified_at timestamptz not null
);
