use time::OffsetDateTime;

use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind};
use crate::evidence::Evidence;
use crate::record::Record;
use crate::store::Etag;

impl Registry {
    /// The artifact, after its source was asked if nobody has asked it yet, or if it did not answer then. What is found
    /// out is kept, if the store takes it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact of another kind.
    pub(super) async fn looked_up(&self, kind: Kind, id: &Id) -> Result<(Record, Etag), Error> {
        let mut found: Option<(String, Option<Evidence>)> = None;
        for _ in 0..TRIES {
            let (record, etag) = self.read(kind, id).await?;
            let before = record.findings();
            if let Some(before) = &before
                && before
                    .asks_again_at()
                    .is_none_or(|then| then > OffsetDateTime::now_utc())
            {
                return Ok((record, etag));
            }
            if found.as_ref().is_none_or(|(url, _)| *url != record.url) {
                let looked = match record.source() {
                    Some(source) => self.ingest.look(&source, kind).await,
                    None => None,
                };
                found = Some((record.url.clone(), looked));
            }
            let Some((_, Some(evidence))) = &found else {
                return Ok((record, etag)); // nobody is to be asked
            };
            let mut next = record;
            next.revision += 1;
            next.set_findings(evidence.clone().or(before));
            match self.rewrite(&next, &etag).await {
                Ok(Some(etag)) => return Ok((next, etag)),
                Ok(None) => {}
                Err(error) => {
                    // It is asked again next time.
                    tracing::warn!(%id, error = %shared::telemetry::chain(&error), "what was found out is not kept");
                    return Ok((next, etag));
                }
            }
        }
        Err(Error::Busy)
    }
}
