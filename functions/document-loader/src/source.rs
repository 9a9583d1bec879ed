//! How the documents under a prefix are read: a row of `document_source`.

use tokio_postgres::Row;

use crate::chunking::Chunking;

/// A source, or what counts where there is none: the function's own rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Of the row; 0 where there is none.
    pub id: i64,
    /// `s3://bucket/` and the beginning of keys; empty where there is none.
    pub prefix: String,
    /// The role to assume, and what its trust policy asks for.
    pub role: Option<Role>,
    /// Of the bucket: as it was given, or else as S3 told it.
    pub region: Option<String>,
    /// The account that the bucket must belong to.
    pub expected_bucket_owner: Option<String>,
    /// Whether the function agrees to pay.
    pub requester_pays: bool,
    /// Whether documents are loaded at all.
    pub load: bool,
    /// How often a document is tried again before it has failed.
    pub retries: i32,
    /// Larger objects are not loaded.
    pub max_bytes: Option<i64>,
    /// How text is split.
    pub chunking: Chunking,
    /// How often in a row the role could not be assumed.
    pub failures: i32,
    /// How often the source was changed.
    pub revision: i64,
}

/// A role in somebody's account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// `arn:aws:iam::123456789012:role/name`, of any partition.
    pub arn: String,
    /// The external id.
    pub external_id: String,
}

impl Source {
    /// What [`from_row`](Self::from_row) reads, of a table or join called `source`.
    pub(crate) const COLUMNS: &str = "
        coalesce(source.id, 0), source.prefix, source.role_arn, source.external_id,
        coalesce(source.region, source.found_region), source.expected_bucket_owner, source.requester_pays,
        source.load, source.retries, source.max_bytes, source.chunking::text, source.failures, source.revision";

    /// The source in the columns from this one on, all null where there is none.
    pub(crate) fn from_row(row: &Row, first: usize) -> Result<Self, tokio_postgres::Error> {
        let role_arn: Option<String> = row.try_get(first + 2)?;
        let external_id: Option<String> = row.try_get(first + 3)?;
        let chunking: Option<String> = row.try_get(first + 10)?;
        Ok(Self {
            id: row.try_get(first)?,
            prefix: row.try_get::<_, Option<_>>(first + 1)?.unwrap_or_default(),
            role: role_arn
                .zip(external_id)
                .map(|(arn, external_id)| Role { arn, external_id }),
            region: row.try_get(first + 4)?,
            expected_bucket_owner: row.try_get(first + 5)?,
            requester_pays: row.try_get::<_, Option<_>>(first + 6)?.unwrap_or_default(),
            load: row.try_get::<_, Option<_>>(first + 7)?.unwrap_or(true),
            retries: row.try_get::<_, Option<_>>(first + 8)?.unwrap_or(RETRIES),
            max_bytes: row.try_get(first + 9)?,
            chunking: chunking.as_deref().map(chunking_of).unwrap_or_default(),
            failures: row.try_get::<_, Option<_>>(first + 11)?.unwrap_or_default(),
            revision: row.try_get::<_, Option<_>>(first + 12)?.unwrap_or_default(),
        })
    }
}

/// Where there is no source.
const RETRIES: i32 = 6;

/// The table checks what is written into it, so anything else was written by an older or newer version.
fn chunking_of(json: &str) -> Chunking {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a source's chunking is not understood; the default is taken");
        Chunking::default()
    })
}
