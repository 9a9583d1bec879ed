//! What is known of one document, of one source, and of the whole queue.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Error, Queue};
use crate::source::Source;
use crate::table::Parameter;

/// For how long the document has been due that has been due the longest, of the sources that are not blocked.
const OLDEST: &str = "
    with recursive waiting (source) as (
        (select source from document_load where next_attempt_at is not null order by source limit 1)
        union all
        select (
            select source from document_load
            where next_attempt_at is not null and document_load.source > waiting.source order by source limit 1
        ) from waiting where waiting.source is not null
    )
    select greatest(max(extract(epoch from current_timestamp - due.next_attempt_at)), 0)::float8
    from waiting, lateral (
        select next_attempt_at from document_load
        where document_load.source = waiting.source and next_attempt_at <= current_timestamp
        order by next_attempt_at limit 1
    ) as due
    where not exists (
        select from document_source where document_source.id = waiting.source and blocked_until > current_timestamp
    )";

const STATE: &str = "select state from document_load where uri = $1";

/// Has a document tried at once that is not loaded.
const HASTEN: &str = "
    update document_load set state = 'pending', next_attempt_at = current_timestamp, attempts = 0, parked_attempts = 0
    where uri = $1 and lease is null and state not in ('loaded', 'skipped')";

/// A source that has proven to work: what waited for it is due.
const VERIFIED: &str = "
    with source as (
        update document_source set failures = 0, blocked_until = null, blocked_reason = null, blocked_message = null,
            verified_at = case when $2 then current_timestamp end
        where id = $1
    ), parked as (
        select uri from document_load where source = $1 and state = 'parked' and lease is null order by uri for update
    )
    update document_load set state = 'pending', next_attempt_at = current_timestamp, attempts = 0, parked_attempts = 0
    from parked where document_load.uri = parked.uri";

/// Errors are kept for 30 days.
const FORGET: &str = "
    delete from document_load_error where id = any (array(
        select id from document_load_error where occurred_at < current_timestamp - interval '30 days' limit 10000
    ))";

impl Queue {
    /// For how long the document has been due that has been due the longest; nothing when none is.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn oldest(&self) -> Result<Duration, Error> {
        let seconds: Option<f64> = self
            .run(move |session| async move {
                session
                    .client()
                    .query_typed_one(OLDEST, &[])
                    .await?
                    .try_get(0)
            })
            .await?;
        Ok(Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default())
    }

    /// The state of a document, `None` if it is not known.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn state(&self, uri: &str) -> Result<Option<String>, Error> {
        self.run(move |session| async move {
            let rows = session
                .client()
                .query_typed(STATE, &[(&uri, Type::TEXT)])
                .await?;
            rows.first().map(|row| row.try_get(0)).transpose()
        })
        .await
    }

    /// Has a document tried at once, if it is in the documents table and not loaded.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn hasten(&self, uri: &str) -> Result<(), Error> {
        self.notice_one(uri).await?;
        self.run(move |session| async move {
            session
                .client()
                .execute_typed(HASTEN, &[(&uri, Type::TEXT)])
                .await
        })
        .await?;
        Ok(())
    }

    /// The source of this prefix, or the one that a document belongs to; that of the function's own rights if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn source(&self, place: &str) -> Result<Source, Error> {
        let statement = format!(
            "select {} from (select) as one left join document_source as source on source.id = coalesce(
                (select id from document_source where prefix = $1), source_of($1)
            )",
            Source::COLUMNS
        );
        let statement = &statement;
        self.run(move |session| async move {
            let parameters: [Parameter<'_>; 1] = [(&place, Type::TEXT)];
            let row = session
                .client()
                .query_typed_one(statement, &parameters)
                .await?;
            Source::from_row(&row, 0)
        })
        .await
    }

    /// Notes that a source works, and has its documents tried that waited for that. `is_safe`: nobody else can have them
    /// read.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn verified(&self, source: i64, is_safe: bool) -> Result<(), Error> {
        self.run(move |session| async move {
            let parameters: [Parameter<'_>; 2] = [(&source, Type::INT8), (&is_safe, Type::BOOL)];
            session.client().execute_typed(VERIFIED, &parameters).await
        })
        .await?;
        Ok(())
    }

    /// Forgets errors that are too old to be of interest, some of them.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn forget_errors(&self) -> Result<(), Error> {
        self.run(move |session| async move { session.client().execute_typed(FORGET, &[]).await })
            .await?;
        Ok(())
    }
}
