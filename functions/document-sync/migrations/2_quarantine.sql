-- Messages that can never succeed as they are, kept until their cause is gone.
create table quarantine (
    id               bigint generated always as identity primary key,
    message_id       text unique,           -- of SQS; the request's id where there was no queue
    reason           text not null,
    body             text not null,         -- the message as it came
    received_at      timestamptz not null default current_timestamp,
    attempts         integer not null default 0, -- replays that failed
    replay_requested boolean not null default false
);

create index quarantine_replay_requested on quarantine (id) where replay_requested;

-- Asks for another try, of these messages or of all. The function's next replay, which the deployment
-- schedules every few minutes, makes it. Returns how many messages were asked for.
create function replay_quarantine(ids bigint[] default null) returns bigint
language sql
as $$
    with requested as (
        update quarantine set replay_requested = true
        where replay_quarantine.ids is null or quarantine.id = any (replay_quarantine.ids)
        returning 1
    )
    select count(*) from requested
$$;
