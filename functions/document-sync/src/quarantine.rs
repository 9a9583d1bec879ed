//! Messages that can never succeed as they are, kept with the reason until their cause is gone.

use std::borrow::Cow;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::command::Replay;
use crate::ledger::Parameter;

/// A message that was delivered before, its acknowledgement lost, is kept once.
const KEEP: &str = "
    insert into quarantine (message_id, reason, body)
    select * from unnest($1::text[], $2::text[], $3::text[])
    on conflict (message_id) do nothing";

/// The next messages to try again, in the order in which they came. Some at a time: a body has up to a megabyte.
const NEXT: &str = "
    select id, body, received_at from (
        select id, body, received_at, sum(length(body)) over (order by id) - length(body) as before
        from (
            select id, body, received_at from quarantine
            where id > $1 and ($2::bigint[] is null or id = any ($2)) and (not $3 or replay_requested)
            order by id limit 1000
        ) as next
    ) as measured
    where before < 4000000
    order by id";

const RELEASE: &str = "delete from quarantine where id = any ($1)";

const FAILED: &str = "
    update quarantine set reason = failed.reason, attempts = attempts + 1, replay_requested = false
    from unnest($1::bigint[], $2::text[]) as failed (id, reason)
    where quarantine.id = failed.id";

/// A message and why it cannot succeed.
#[derive(Debug, Clone)]
pub struct Quarantined<'a> {
    /// The id under which it came.
    pub message_id: Option<&'a str>,
    /// For the operator.
    pub reason: String,
    /// The message.
    pub body: &'a str,
}

/// A message in quarantine.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: i64,
    pub(crate) body: String,
    pub(crate) received_at: time::OffsetDateTime,
}

/// Puts messages into quarantine, within a transaction of the caller's.
pub(crate) async fn keep(
    client: &Client,
    messages: &[Quarantined<'_>],
) -> Result<(), tokio_postgres::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<Option<Cow<'_, str>>> = messages
        .iter()
        .map(|message| message.message_id.map(storable))
        .collect();
    let reasons: Vec<Cow<'_, str>> = messages
        .iter()
        .map(|message| storable(&message.reason))
        .collect();
    let bodies: Vec<Cow<'_, str>> = messages
        .iter()
        .map(|message| storable(message.body))
        .collect();
    let parameters: [Parameter<'_>; 3] = [
        (&ids, Type::TEXT_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
        (&bodies, Type::TEXT_ARRAY),
    ];
    client.execute_typed(KEEP, &parameters).await?;
    Ok(())
}

/// PostgreSQL's text cannot hold the character NUL, which no JSON has but in this escaped form.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\\u0000"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Some of the messages to try again, those after the id `after`; none when there are no more.
pub(crate) async fn next(
    client: &Client,
    replay: &Replay,
    after: i64,
) -> Result<Vec<Kept>, tokio_postgres::Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&after, Type::INT8),
        (&replay.ids, Type::INT8_ARRAY),
        (&replay.requested, Type::BOOL),
    ];
    let rows = client.query_typed(NEXT, &parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(Kept {
                id: row.try_get(0)?,
                body: row.try_get(1)?,
                received_at: row.try_get(2)?,
            })
        })
        .collect()
}

/// Removes messages that have been applied, and notes why others were not.
pub(crate) async fn settle(
    client: &Client,
    applied: &[i64],
    failed: &[(i64, String)],
) -> Result<(), tokio_postgres::Error> {
    if !applied.is_empty() {
        let parameters: [Parameter<'_>; 1] = [(&applied, Type::INT8_ARRAY)];
        client.execute_typed(RELEASE, &parameters).await?;
    }
    if !failed.is_empty() {
        let ids: Vec<i64> = failed.iter().map(|(id, _)| *id).collect();
        let reasons: Vec<Cow<'_, str>> =
            failed.iter().map(|(_, reason)| storable(reason)).collect();
        let parameters: [Parameter<'_>; 2] =
            [(&ids, Type::INT8_ARRAY), (&reasons, Type::TEXT_ARRAY)];
        client.execute_typed(FAILED, &parameters).await?;
    }
    Ok(())
}
