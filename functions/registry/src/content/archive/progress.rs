//! How far an archive has been made, and who is at it.
//!
//! An object beside the archive names the upload that it comes from, and until when somebody is at work on it. Others
//! wait meanwhile, out of politeness only: whoever works on the same upload writes the same bytes, and S3 makes the
//! object of them once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::s3::{Attributes, PartChecksum, Upload};
use shared::telemetry::chain;
use time::{Duration, OffsetDateTime};

use crate::content::{Content, Error};
use crate::key;
use crate::store::{Etag, StoreError};

/// What is noted of an archive in the making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    upload_id: String,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    /// By the numbers of files: what had to be read to know it.
    #[serde(default)]
    crc32: BTreeMap<usize, u32>,
}

/// One's turn to work on an archive.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) archive: String,
    etag: Etag,
    note: Note,
}

impl Turn {
    /// Begins an archive, or takes over one that nobody is at. `None` while somebody is.
    pub(super) async fn take(
        content: &Content,
        archive: &str,
        lasting: Duration,
    ) -> Result<Option<Self>, Error> {
        let key = key::progress(archive);
        let now = OffsetDateTime::now_utc();
        let until = now + lasting;
        let found = content.objects.get(&key).await?;
        let note = found
            .as_ref()
            .and_then(|(bytes, _)| serde_json::from_slice::<Note>(bytes).ok());
        let is_begun = note.is_some();
        let note = match note {
            Some(note) if note.until > now => return Ok(None),
            Some(note) => Note { until, ..note },
            None => Note {
                upload_id: begin(content, archive).await?,
                until,
                crc32: BTreeMap::new(),
            },
        };
        let bytes = note.to_bytes();
        let written = match &found {
            Some((_, etag)) => content.objects.replace(&key, bytes, etag).await,
            None => content.objects.create(&key, bytes).await,
        };
        let turn = |etag| Self {
            archive: archive.to_owned(),
            etag,
            note: note.clone(),
        };
        match written {
            Ok(etag) => return Ok(Some(turn(etag))),
            Err(StoreError::Exists | StoreError::Changed) => {}
            Err(error) => {
                // The upload stays for whoever finds the note; without one, a rule of the bucket ends it.
                return Err(error.into());
            }
        }
        // Somebody else was faster, or it was us, and the answer was lost.
        if let Some((bytes, etag)) = content.objects.get(&key).await?
            && bytes == note.to_bytes()
        {
            return Ok(Some(turn(etag)));
        }
        if !is_begun {
            abort(content, archive, &note.upload_id).await;
        }
        Ok(None)
    }

    /// The upload that the archive comes from.
    pub(super) fn upload(&self) -> Upload<'_> {
        Upload {
            key: &self.archive,
            id: &self.note.upload_id,
        }
    }

    /// What is known of the files by their numbers.
    pub(super) fn known(&self) -> BTreeMap<usize, u32> {
        self.note.crc32.clone()
    }

    /// Lets others go on from here.
    pub(super) async fn pass_on(mut self, content: &Content, known: BTreeMap<usize, u32>) {
        self.note.crc32 = known;
        self.note.until = OffsetDateTime::UNIX_EPOCH;
        let key = key::progress(&self.archive);
        let noted = content
            .objects
            .replace(&key, self.note.to_bytes(), &self.etag);
        tell(&key, noted.await.map(drop));
    }

    /// Gives the upload up, with what there is of it.
    pub(super) async fn abort(&self, content: &Content) {
        abort(content, &self.archive, &self.note.upload_id).await;
    }

    /// Ends the work: the archive is there, or its upload is gone.
    pub(super) async fn end(self, content: &Content) {
        let key = key::progress(&self.archive);
        tell(&key, content.objects.delete_if(&key, &self.etag).await);
    }
}

impl Note {
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Gives an archive up that nobody wants any more, with what there is of it.
pub(super) async fn discard(content: &Content, archive: &str) {
    let key = key::progress(archive);
    let found = match content.objects.get(&key).await {
        Ok(found) => found,
        Err(error) => return tell(&key, Err(error)),
    };
    let Some((bytes, etag)) = found else { return };
    if let Ok(note) = serde_json::from_slice::<Note>(&bytes) {
        if note.until > OffsetDateTime::now_utc() {
            return;
        }
        abort(content, archive, &note.upload_id).await;
    }
    tell(&key, content.objects.delete_if(&key, &etag).await);
}

async fn begin(content: &Content, archive: &str) -> Result<String, Error> {
    let attributes = Attributes {
        content_type: Some("application/zip"),
        metadata: None,
    };
    let begun = content
        .bucket
        .begin_upload(archive, PartChecksum::Crc32, &attributes);
    Ok(begun.await?)
}

async fn abort(content: &Content, archive: &str, upload_id: &str) {
    let upload = Upload {
        key: archive,
        id: upload_id,
    };
    if let Err(error) = content.bucket.abort_upload(&upload).await {
        tracing::debug!(archive, error = %chain(&error), "an upload is left to the bucket's rules");
    }
}

/// What fails here costs time or room, and nothing else.
fn tell(key: &str, done: Result<(), StoreError>) {
    match done {
        Ok(()) | Err(StoreError::Changed | StoreError::Exists) => {}
        Err(error) => tracing::warn!(key, error = %chain(&error), "a note is left as it was"),
    }
}
