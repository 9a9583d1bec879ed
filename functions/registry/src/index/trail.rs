//! How far the audit trail was verified. It is kept here, for whoever can write the trail cannot write here.

use tokio_postgres::types::Type;

use super::row::Parameter;
use super::{DatabaseError, Index, PATIENCE};

const NOTE: &str = "select note from registry_trail where store = $1";

/// Unless somebody else was faster. The same again does no harm: the answer to the first may have been lost.
const KEEP: &str = "
    insert into registry_trail as known (store, note, verified_at) values ($1, $2, current_timestamp)
    on conflict (store) do update set note = excluded.note, verified_at = excluded.verified_at
        where known.note = $3 or known.note = excluded.note
    returning store";

impl Index {
    /// What was kept last, whoever wrote it.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`]
    pub(crate) async fn trail_note(&self) -> Result<Option<String>, DatabaseError> {
        let store = &self.store;
        self.connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 1] = [(store, Type::TEXT)];
                let row = session.client().query_typed_opt(NOTE, &parameters).await?;
                row.map(|row| row.try_get(0)).transpose()
            })
            .await
    }

    /// Keeps `note` in place of what was kept when the caller has looked. Gives whether it was still that.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`]
    pub(crate) async fn keep_trail_note(
        &self,
        seen: Option<&str>,
        note: &str,
    ) -> Result<bool, DatabaseError> {
        let store = &self.store;
        self.connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 3] = [
                    (store, Type::TEXT),
                    (&note, Type::TEXT),
                    (&seen, Type::TEXT),
                ];
                let row = session.client().query_typed_opt(KEEP, &parameters).await?;
                Ok(row.is_some())
            })
            .await
    }
}
