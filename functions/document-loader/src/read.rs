//! Objects read: pinned to the version that the documents table names, checked for size before and while they come.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::RequestPayer;
use tokio::time::timeout;

use crate::amazon::{Access, Amazon};
use crate::body::{Body, collect};
use crate::budget::{Budget, Share};
use crate::extraction::Extraction;
use crate::fault::{Fault, fault};
use crate::head::Head;
use crate::location::Location;
use crate::queue::Version;
use crate::reason::{Problem, Reason};
use crate::slots::{Slot, Slots};
use crate::source::Source;

/// Objects from this size on are read in parts, several at a time.
pub(crate) const LARGE: u64 = 16 * 1024 * 1024;
/// Objects up to this size are in memory as a whole. Others go to a process that reads them as they come.
const SMALL: u64 = 1024 * 1024;
/// How long a small object may take, however slowly it comes.
const LONGEST: Duration = Duration::from_mins(1);
/// How often requests may be sent on to another region.
const MOVES: u32 = 2;

/// What reads objects.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) amazon: Amazon,
    /// Of the objects that are in memory as a whole.
    pub(crate) budget: Budget,
    /// For those that go to a process.
    pub(crate) slots: Slots,
    pub(crate) extraction: Extraction,
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

/// An object whose beginning, at least, could be read.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) body: Body,
    pub(crate) hold: Hold,
}

/// What a document takes until it is written.
///
/// Whoever has a slot waits for no share of the budget, so that no two wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    _share: Option<Share>,
    pub(crate) slot: Option<Slot>,
}

impl Reading<'_> {
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
            let hold = self.hold(size).await;
            let (head, body) = self.object(version).await?;
            return Ok(Opened { head, body, hold });
        }
        let head = self.head(version).await?;
        let is_known = known.is_some_and(|known| {
            head.etag.is_some()
                && (&head.etag, &head.version_id) == (&known.etag, &known.version_id)
        });
        if is_known {
            let (body, hold) = (Body::Same, Hold::default());
            return Ok(Opened { head, body, hold });
        }
        let hold = self.hold(head.size).await;
        if head.size >= LARGE {
            let body = Body::Parts;
            return Ok(Opened { head, body, hold });
        }
        let (head, body) = self.object(&head.version()).await?;
        Ok(Opened { head, body, hold })
    }

    /// Waits for room for an object of this size.
    async fn hold(self, size: u64) -> Hold {
        let Reader { budget, slots, .. } = self.reader;
        if size <= SMALL {
            Hold {
                _share: Some(budget.take(size.saturating_mul(2)).await),
                slot: None,
            }
        } else {
            Hold {
                _share: None,
                slot: Some(slots.take(self.source.id).await),
            }
        }
    }

    /// Asks for all of an object, and reads a small one.
    async fn object(self, version: &Version) -> Result<(Head, Body), Problem> {
        let object = self
            .ask(|access| async move { self.get(&access, version, None).await })
            .await?;
        let head = Head::new(
            object.e_tag,
            object.version_id,
            object.content_length,
            object.content_type,
        );
        self.check(&head, version)?;
        let body = if head.size >= LARGE {
            // The documents table was wrong about its size.
            Body::Parts
        } else if head.size > SMALL {
            Body::Coming(object.body)
        } else {
            let pieces = timeout(LONGEST, collect(object.body, head.size)).await;
            Body::Whole(pieces.map_err(|_elapsed| Problem::timed_out(LONGEST))??)
        };
        Ok((head, body))
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

    pub(crate) fn check(self, head: &Head, version: &Version) -> Result<(), Problem> {
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

/// A version stays what it is; anything else may become another object at any time.
pub(crate) fn condition(version: &Version) -> Option<String> {
    let etag = version.etag.as_ref()?;
    version.version_id.is_none().then(|| format!("\"{etag}\""))
}
