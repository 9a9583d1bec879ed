//! All files of an artifact, or those of an aspect, in one ZIP that S3 puts together: `plan` says of which parts, `zip`
//! what lies between the files, `build` has it done, and `progress` is what the next request needs to go on.
//!
//! The archive is an object whose key is made from what the files were, so it never tells of others, and whoever asks
//! for the same files again gets the same object. It is made by an upload in parts: until that is completed, nothing of
//! it is there. Killed at any step, it is gone on with by the next request that wants it.

mod build;
mod plan;
mod progress;
mod zip;

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use shared::s3;
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout_at};

use self::build::Build;
use self::plan::Plan;
use self::progress::Turn;
use super::{Aspect, Content, Error, FilePath, Whole};
use crate::key;

/// The most files of an artifact that is put together.
pub const MOST_FILES: usize = 10_000;
/// The most bytes of one archive that are read and sent, and not copied.
pub const MOST_READ: u64 = 1 << 30;

/// Counted up when the same files make another archive than before.
const FORMAT: u8 = 1;
/// How long somebody is left alone beyond the time that their work may take, to note how far it came.
const GRACE: Duration = Duration::from_secs(4);
/// How often it is looked whether somebody else has finished.
const LOOK: Duration = Duration::from_millis(300);
/// An archive of what the files were before is kept that long: somebody may be about to get it.
const KEPT: time::Duration = time::Duration::hours(1);

/// A file that goes into an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    path: FilePath,
    size: u64,
    etag: String,
    modified: Option<OffsetDateTime>,
}

impl Content {
    /// Where the bytes of all files of an aspect are. Has them put together where there are several, for as long as
    /// `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchAspect`], [`Error::TooMuch`]; [`Error::NotYet`] and [`Error::Changed`] when asking again helps.
    pub async fn whole(&self, aspect: Aspect, patience: Duration) -> Result<Whole, Error> {
        let deadline = Instant::now() + patience;
        // What comes before and after the making is short, unless S3 is slow.
        let whole = timeout_at(deadline + GRACE, self.whole_until(aspect, deadline));
        let late = Error::NotYet {
            done: None,
            parts: None,
        };
        whole.await.unwrap_or(Err(late))
    }

    async fn whole_until(&self, aspect: Aspect, deadline: Instant) -> Result<Whole, Error> {
        let mut members = self.members().await?;
        if members.is_empty() {
            return Ok(Whole::Nowhere);
        }
        members.retain(|member| aspect.has(&member.path));
        match members.as_slice() {
            [] => Err(Error::NoSuchAspect(aspect)),
            [only] => Ok(Whole::File(only.path.clone())),
            _ => {
                let plan = Plan::of(&members)?;
                let key = key::archive(&self.id, aspect, &digest(&members));
                let is_new = self.archive(&key, &members, &plan, deadline).await?;
                if is_new {
                    self.discard_others(aspect, &key).await;
                }
                Ok(Whole::Archive { key, is_new })
            }
        }
    }

    /// Deletes an archive, whose artifact was deleted while it was made.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn remove_archive(&self, archive: &str) -> Result<(), Error> {
        Ok(self.objects.delete(archive).await?)
    }

    /// The files, as a listing has them.
    async fn members(&self) -> Result<Vec<Member>, Error> {
        let prefix = key::files(&self.id);
        let (mut members, mut after) = (Vec::new(), None);
        loop {
            let page = self.bucket.list(&prefix, after.as_ref()).await?;
            members.extend(page.objects.into_iter().filter_map(|object| {
                let modified = object.last_modified.as_ref();
                Some(Member {
                    path: object.key.strip_prefix(&prefix)?.parse().ok()?,
                    size: object.size?.try_into().ok()?,
                    etag: object.etag?,
                    modified: modified
                        .and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok()),
                })
            }));
            if members.len() > MOST_FILES {
                return Err(Error::TooMuch("there are more than 10,000 files"));
            }
            after = page.next;
            if after.is_none() {
                return Ok(members);
            }
        }
    }

    /// Sees to it that the archive is there, and returns whether it was made now.
    async fn archive(
        &self,
        archive: &str,
        members: &[Member],
        plan: &Plan,
        deadline: Instant,
    ) -> Result<bool, Error> {
        loop {
            if self.is_there(archive).await? {
                return Ok(false);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let lasting = time::Duration::try_from(left + GRACE).unwrap_or_default();
            let Some(turn) = Turn::take(self, archive, lasting).await? else {
                if left < LOOK {
                    return Err(Error::NotYet {
                        done: None,
                        parts: Some(plan.parts.len()),
                    });
                }
                sleep(LOOK).await;
                continue;
            };
            return self.build(turn, members, plan, deadline).await;
        }
    }

    async fn build(
        &self,
        turn: Turn,
        members: &[Member],
        plan: &Plan,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let build = Build::new(self, members, plan, turn.known());
        let started = Instant::now();
        let failure = match timeout_at(deadline, build.run(turn.upload())).await {
            Ok(Ok(())) => {
                let bytes = plan.directory;
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    archive = turn.archive,
                    bytes,
                    milliseconds,
                    "an archive was made"
                );
                turn.end(self).await;
                return Ok(true);
            }
            Ok(Err(Error::S3(s3::Error::NotFound | s3::Error::Precondition))) => {
                // The upload is gone because the archive was made by it; or it is of no use, because a file is gone.
                let is_there = self.is_there(&turn.archive).await?;
                if !is_there {
                    turn.abort(self).await;
                }
                turn.end(self).await;
                return if is_there {
                    Ok(true)
                } else {
                    Err(Error::Changed)
                };
            }
            Ok(Err(error)) => error,
            Err(_late) => Error::NotYet {
                done: Some(build.parts_done()),
                parts: Some(plan.parts.len()),
            },
        };
        turn.pass_on(self, build.known()).await;
        Err(failure)
    }

    async fn is_there(&self, archive: &str) -> Result<bool, Error> {
        match self.bucket.head(archive).await {
            Ok(_) => Ok(true),
            Err(s3::Error::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes archives of what the files of an aspect were before.
    async fn discard_others(&self, aspect: Aspect, archive: &str) {
        let prefix = key::archives_of(&self.id, aspect);
        let listed = match self.bucket.list(&prefix, None).await {
            Ok(page) => page.objects,
            Err(error) => {
                tracing::warn!(archive, error = %chain(&error), "old archives are left behind");
                return;
            }
        };
        let now = OffsetDateTime::now_utc();
        for old in listed {
            let age = old
                .last_modified
                .and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok())
                .map(|time| now - time);
            if old.key.starts_with(archive) || age.is_none_or(|age| age < KEPT) {
                continue;
            }
            if let Some(unfinished) = key::unfinished(&old.key) {
                progress::discard(self, unfinished).await;
            } else if let Err(error) = self.objects.delete(&old.key).await {
                tracing::warn!(key = old.key, error = %chain(&error), "an old archive is left behind");
            }
        }
    }
}

/// What the files are, in 128 bits.
fn digest(members: &[Member]) -> String {
    let mut digest = Sha256::new();
    digest.update([FORMAT]);
    for member in members {
        let modified = member.modified.map(OffsetDateTime::unix_timestamp);
        for field in [
            member.path.as_str(),
            &member.etag,
            &member.size.to_string(),
            &modified.unwrap_or_default().to_string(),
        ] {
            digest.update(field);
            digest.update([0]); // which is in none of them
        }
    }
    let mut digest = hex::encode(digest.finalize());
    digest.truncate(32);
    digest
}
