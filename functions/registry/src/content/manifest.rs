//! What is remembered of the files of an artifact, so that S3 need not be asked about each of them again.
//!
//! A listing says which files there are and whether one has changed; what it does not say, their checksums above all,
//! S3 is asked once per version of a file. The manifest follows whenever somebody looks: a reader that has found
//! something new writes it down, on the condition that nobody else did meanwhile. If that fails, the next one does it.
//! So it need not be told of uploads, and a lost one costs time only.

use std::collections::BTreeMap;
use std::ops::Bound;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use shared::s3::{self, Listed};
use shared::telemetry::chain;

use super::{Content, Error, File, FilePath, moment};
use crate::key;
use crate::store::{Etag, StoreError};

/// Files that S3 is asked about at a time.
const PARALLEL: usize = 32;
/// The most files that are remembered; of others S3 is asked each time.
const REMEMBERED: usize = 10_000;

/// Some of an artifact's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// In the order of the bytes of their paths.
    pub files: Vec<File>,
    /// Behind what the next page begins; `None` after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// As it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    files: Vec<File>,
}

/// What is remembered, and of which object that is.
#[derive(Debug, Default)]
struct Manifest {
    files: BTreeMap<String, File>,
    etag: Option<Etag>,
}

impl Content {
    /// The files behind `after`, up to `limit`, of which S3 gives no more than 1,000. A page may hold fewer, and yet
    /// not be the last.
    ///
    /// # Errors
    ///
    /// [`Error::S3`], [`Error::Store`].
    pub async fn page(&self, after: Option<&str>, limit: u16) -> Result<Page, Error> {
        let prefix = key::files(&self.id);
        let from = after.map(|after| format!("{prefix}{after}"));
        let (listed, manifest) = futures_util::try_join!(
            async {
                let listed = self.bucket.list_some(&prefix, from.as_deref(), Some(limit));
                listed.await.map_err(Error::from)
            },
            self.manifest(),
        )?;
        let next = listed
            .next
            .and_then(|next| next.key.strip_prefix(&prefix).map(ToOwned::to_owned));
        let found = listed.objects.into_iter().filter_map(|object| {
            // What others have put there and nobody can ask for is not shown.
            let path: FilePath = object.key.strip_prefix(&prefix)?.parse().ok()?;
            Some((path, object))
        });
        let files: Vec<File> = stream::iter(found.map(|(path, object)| {
            let known = manifest.files.get(path.as_str());
            let known = known.filter(|known| is_same(known, &object)).cloned();
            async move {
                match known {
                    Some(known) => Ok(Some(known)),
                    None => self.describe(path).await,
                }
            }
        }))
        .buffered(PARALLEL)
        .try_filter_map(|file| std::future::ready(Ok(file)))
        .try_collect()
        .await?;
        self.remember(manifest, after, next.as_deref(), &files)
            .await;
        Ok(Page { files, next })
    }

    /// What S3 knows of a file; `None` when it is gone.
    pub(super) async fn describe(&self, path: FilePath) -> Result<Option<File>, Error> {
        match self.bucket.describe(&key::file(&self.id, &path)).await {
            Ok(described) => Ok(Some(File::new(path, described))),
            Err(s3::Error::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn manifest(&self) -> Result<Manifest, Error> {
        let Some((bytes, etag)) = self.objects.get(&key::manifest(&self.id)).await? else {
            return Ok(Manifest::default());
        };
        // One that cannot be read is made anew.
        let stored: Stored = serde_json::from_slice(&bytes).unwrap_or_default();
        let files = stored.files.into_iter();
        Ok(Manifest {
            files: files
                .map(|file| (file.path.as_str().to_owned(), file))
                .collect(),
            etag: Some(etag),
        })
    }

    /// Writes down what was found on the page behind `after` and up to `to`, if it is news.
    async fn remember(
        &self,
        manifest: Manifest,
        after: Option<&str>,
        to: Option<&str>,
        found: &[File],
    ) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = to.map_or(Bound::Unbounded, Bound::Included);
        let before = || manifest.files.range::<str, _>((from, up_to));
        let is_news = before().map(|(_, file)| file).ne(found);
        let mut files: BTreeMap<&str, &File> = manifest
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file))
            .collect();
        for (gone, _) in before() {
            files.remove(gone.as_str());
        }
        files.extend(found.iter().map(|file| (file.path.as_str(), file)));
        let kept: Vec<&File> = files.into_values().take(REMEMBERED).collect();
        if !is_news || kept.iter().copied().eq(manifest.files.values()) {
            return;
        }
        let key = key::manifest(&self.id);
        let bytes = serde_json::json!({ "files": kept })
            .to_string()
            .into_bytes();
        let written = match &manifest.etag {
            Some(etag) => self.objects.replace(&key, bytes, etag).await,
            None => self.objects.create(&key, bytes).await,
        };
        match written {
            Ok(_) | Err(StoreError::Exists | StoreError::Changed) => {}
            Err(error) => {
                tracing::warn!(key, error = %chain(&error), "a manifest is left as it was");
            }
        }
    }
}

fn is_same(known: &File, listed: &Listed) -> bool {
    Some(&known.etag) == listed.etag.as_ref()
        && Some(known.size) == listed.size.and_then(|size| size.try_into().ok())
        && known.uploaded_at == listed.last_modified.as_ref().and_then(moment)
}
