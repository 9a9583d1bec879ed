//! Objects read: pinned to the version that the documents table names, checked for size before and while they come.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::RequestPayer;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::time::timeout;

use crate::amazon::{Access, Amazon};
use crate::budget::{Budget, Share};
use crate::fault::{Fault, body_fault, fault};
use crate::location::Location;
use crate::queue::Version;
use crate::reason::{Problem, Reason};
use crate::source::Source;

/// Objects from this size on are read in parts, several at a time.
const LARGE: u64 = 16 * 1024 * 1024;
/// Bytes of a part, and how many parts are read at a time.
const PART: u64 = 8 * 1024 * 1024;
const PARTS: u64 = 4;
/// A part that breaks off is asked for again, so often in all: the rest of the object would be read in vain.
const PART_TRIES: u32 = 3;
/// How long a body may be silent.
const SILENCE: Duration = Duration::from_secs(15);
/// How often requests may be sent on to another region.
const MOVES: u32 = 2;

/// What reads objects.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) amazon: Amazon,
    pub(crate) budget: Budget,
    /// Larger objects are not read, unless their source says otherwise.
    pub(crate) max_bytes: u64,
}

/// An object to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) source: &'a Source,
    pub(crate) location: &'a Location,
}

/// What S3 says of an object before its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) etag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) size: u64,
    pub(crate) content_type: Option<String>,
}

/// The bytes of an object.
pub(crate) enum Body {
    /// Those that were loaded before.
    Same,
    /// All of them.
    Whole(Vec<Bytes>),
    /// To be read in parts.
    Parts,
}

/// An object whose beginning, at least, could be read.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) body: Body,
    /// The memory it takes.
    pub(crate) share: Share,
}

impl<'a> Reading<'a> {
    /// Reads a small object, or makes sure of a large one.
    ///
    /// Where the documents table tells size and version, a small object costs one request: the head of its answer is
    /// checked like that of a question, before a byte of the body is taken. Otherwise S3 is asked first, and what is
    /// `known` already is not read.
    pub(crate) async fn open(
        self,
        version: &Version,
        known: Option<&Version>,
    ) -> Result<Opened, Problem> {
        let is_told = version.etag.is_some() || version.version_id.is_some();
        let told = version.size.and_then(|size| u64::try_from(size).ok());
        if let Some(size) = told.filter(|size| is_told && *size < LARGE) {
            self.check_size(size)?;
            let share = self.reader.budget.take(in_memory(size)).await;
            let (head, body) = self.whole(version).await?;
            return Ok(Opened { head, body, share });
        }
        let head = self.head(version).await?;
        let is_known = known.is_some_and(|known| {
            head.etag.is_some()
                && (&head.etag, &head.version_id) == (&known.etag, &known.version_id)
        });
        let share = self
            .reader
            .budget
            .take(if is_known { 0 } else { in_memory(head.size) })
            .await;
        if is_known {
            let body = Body::Same;
            return Ok(Opened { head, body, share });
        }
        if head.size >= LARGE {
            let body = Body::Parts;
            return Ok(Opened { head, body, share });
        }
        let (head, body) = self.whole(&pinned(&head)).await?;
        Ok(Opened { head, body, share })
    }

    /// What S3 says of the object.
    pub(crate) async fn head(self, version: &Version) -> Result<Head, Problem> {
        let head = self
            .ask(|access| async move {
                let asked = self.request_head(&access, version).await;
                match asked {
                    Ok(head) => Ok(head),
                    // The answer to this question has no body, and so no code.
                    Err(error) if is_mute(&error) => {
                        match self.get(&access, version, Some("bytes=0-0")).await {
                            Ok(_) | Err(Fault::Empty) => Err(fault("HeadObject", &error)),
                            Err(fault) => Err(fault),
                        }
                    }
                    Err(error) => Err(fault("HeadObject", &error)),
                }
            })
            .await?;
        let is_archived = head.archive_status.is_some()
            || head
                .storage_class
                .as_ref()
                .is_some_and(|class| matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE"));
        let is_restored = head
            .restore
            .as_deref()
            .is_some_and(|restore| restore.contains("ongoing-request=\"false\""));
        if is_archived && !is_restored {
            return Err(Problem::new(
                Reason::Archived,
                "the object is in an archive: restore it, then it is loaded",
            ));
        }
        let size = head
            .content_length
            .and_then(|size| u64::try_from(size).ok());
        let head = Head {
            etag: head.e_tag.map(unquoted),
            version_id: head.version_id.filter(|version| version != "null"),
            size: size.unwrap_or_default(),
            content_type: head.content_type,
        };
        self.check(&head, version)?;
        Ok(head)
    }

    async fn request_head(
        self,
        access: &Access,
        version: &Version,
    ) -> Result<HeadObjectOutput, SdkError<aws_sdk_s3::operation::head_object::HeadObjectError>>
    {
        access
            .client
            .head_object()
            .bucket(self.location.bucket())
            .key(self.location.key())
            .set_version_id(version.version_id.clone())
            .set_if_match(condition(version))
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.source.expected_bucket_owner.clone())
            .send()
            .await
    }

    /// Reads all of a small object.
    async fn whole(self, version: &Version) -> Result<(Head, Body), Problem> {
        let object = self
            .ask(|access| async move { self.get(&access, version, None).await })
            .await?;
        let size = object
            .content_length
            .and_then(|size| u64::try_from(size).ok());
        let head = Head {
            etag: object.e_tag.map(unquoted),
            version_id: object.version_id.filter(|version| version != "null"),
            size: size.unwrap_or_default(),
            content_type: object.content_type,
        };
        self.check(&head, version)?;
        if head.size >= LARGE {
            // The documents table was wrong about its size.
            return Ok((head, Body::Parts));
        }
        let pieces = collect(object.body, head.size).await?;
        Ok((head, Body::Whole(pieces)))
    }

    /// The bytes of an object in order, of which a few parts are read ahead.
    pub(crate) fn parts(
        self,
        head: &'a Head,
    ) -> impl Stream<Item = Result<Bytes, Problem>> + Send + 'a {
        let starts = (0..head.size.div_ceil(PART)).map(|number| number * PART);
        let ahead = usize::try_from(self.parts_ahead()).unwrap_or(1);
        stream::iter(starts)
            .map(move |start| self.part(head, start))
            .buffered(ahead)
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
            .try_flatten()
    }

    fn parts_ahead(self) -> u64 {
        (self.reader.budget.total() / PART)
            .saturating_sub(1)
            .clamp(1, PARTS)
    }

    async fn part(self, head: &Head, start: u64) -> Result<Vec<Bytes>, Problem> {
        let end = (start + PART).min(head.size);
        let range = format!("bytes={start}-{}", end - 1);
        let version = pinned(head);
        let (range, version) = (range.as_str(), &version);
        let mut tries = 1;
        loop {
            let read = async {
                let object = self
                    .ask(|access| async move { self.get(&access, version, Some(range)).await })
                    .await?;
                collect(object.body, end - start).await
            };
            match read.await {
                Err(problem)
                    if tries < PART_TRIES
                        && matches!(problem.reason, Reason::Unavailable | Reason::Damaged) =>
                {
                    tracing::debug!(error = %problem, range, "asking for a part again");
                    tries += 1;
                }
                part => return part,
            }
        }
    }

    pub(crate) async fn get(
        self,
        access: &Access,
        version: &Version,
        range: Option<&str>,
    ) -> Result<GetObjectOutput, Fault> {
        access
            .client
            .get_object()
            .bucket(self.location.bucket())
            .key(self.location.key())
            .set_version_id(version.version_id.clone())
            .set_if_match(condition(version))
            .set_range(range.map(ToOwned::to_owned))
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.source.expected_bucket_owner.clone())
            .send()
            .await
            .map_err(|error| fault("GetObject", &error))
    }

    /// Asks, and once more where that helps: in another region, or with other credentials.
    pub(crate) async fn ask<T, F>(self, request: impl Fn(Access) -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let bucket = self.location.bucket();
        let (mut moves, mut is_renewed) = (0, false);
        loop {
            let access = self.reader.amazon.access(self.source, bucket).await?;
            match request(access.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Fault::Region(region)) if moves < MOVES => {
                    moves += 1;
                    self.reader.amazon.found(bucket, &region);
                }
                Err(Fault::Credentials(problem)) if !is_renewed => {
                    is_renewed = true;
                    if !access.forget_credentials().await {
                        return Err(problem);
                    }
                }
                Err(Fault::Denied(problem)) => return Err(self.missing_or(problem, &access).await),
                Err(fault) => return Err(fault.into_problem()),
            }
        }
    }

    /// Tells an object that is missing from one that is forbidden. S3 does so itself only for those who may list the
    /// whole bucket, and here it is a part of it, at most.
    async fn missing_or(self, denied: Problem, access: &Access) -> Problem {
        let listed = access
            .client
            .list_objects_v2()
            .bucket(self.location.bucket())
            .prefix(self.location.key())
            .max_keys(1)
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.source.expected_bucket_owner.clone())
            .send()
            .await;
        match listed {
            Ok(page)
                if page.contents().first().and_then(|first| first.key())
                    != Some(self.location.key()) =>
            {
                Problem::new(Reason::Missing, "there is no such object")
            }
            Ok(_) => Problem::new(
                Reason::Denied,
                format!(
                    "{}; the object is there: check the permission policy, the bucket's own policy, and the key that encrypts it (kms:Decrypt)",
                    denied.message
                ),
            ),
            Err(_) => Problem::new(
                Reason::Denied,
                format!(
                    "{}; without s3:ListBucket nobody can tell whether the object is missing: check the permission policy and the bucket's own",
                    denied.message
                ),
            ),
        }
    }

    fn check(self, head: &Head, version: &Version) -> Result<(), Problem> {
        if version.etag.is_some() && head.etag.is_some() && version.etag != head.etag {
            return Err(Problem::new(
                Reason::Superseded,
                "the object is another than the documents table says: its event is on the way, or was lost until the next comparison",
            ));
        }
        self.check_size(head.size)
    }

    fn check_size(self, size: u64) -> Result<(), Problem> {
        let limit = self
            .source
            .max_bytes
            .and_then(|limit| u64::try_from(limit).ok());
        let limit = limit.unwrap_or(self.reader.max_bytes);
        if size <= limit {
            return Ok(());
        }
        Err(Problem::new(
            Reason::TooLarge,
            format!("the object has {size} bytes, and {limit} are allowed"),
        ))
    }

    pub(crate) fn payer(self) -> Option<RequestPayer> {
        self.source
            .requester_pays
            .then_some(RequestPayer::Requester)
    }
}

/// Reads a body of this many bytes, and not one more.
async fn collect(mut body: ByteStream, size: u64) -> Result<Vec<Bytes>, Problem> {
    let mut pieces = Vec::new();
    let mut left = size;
    loop {
        let piece = timeout(SILENCE, body.next()).await.map_err(|_elapsed| {
            Problem::new(
                Reason::Unavailable,
                format!(
                    "the object stopped coming for {} seconds",
                    SILENCE.as_secs()
                ),
            )
        })?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|error| body_fault(&error))?;
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(length).ok_or_else(|| {
            Problem::new(Reason::Damaged, "more bytes arrived than S3 said there are")
        })?;
        pieces.push(piece);
    }
    if left > 0 {
        return Err(Problem::new(
            Reason::Unavailable,
            format!("the object broke off {left} bytes before its end"),
        ));
    }
    Ok(pieces)
}

/// Its bytes, and its text beside them.
fn in_memory(size: u64) -> u64 {
    if size < LARGE {
        size.saturating_mul(3)
    } else {
        PART * (PARTS + 1)
    }
}

fn pinned(head: &Head) -> Version {
    Version {
        etag: head.etag.clone(),
        version_id: head.version_id.clone(),
        size: None,
    }
}

/// A version stays what it is; anything else may become another object at any time.
fn condition(version: &Version) -> Option<String> {
    let etag = version.etag.as_ref()?;
    version.version_id.is_none().then(|| format!("\"{etag}\""))
}

fn is_mute<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> bool {
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    error.code().is_none() && matches!(status, Some(400 | 403))
}

fn unquoted(etag: String) -> String {
    if etag.starts_with('"') {
        etag.trim_matches('"').to_owned()
    } else {
        etag
    }
}
