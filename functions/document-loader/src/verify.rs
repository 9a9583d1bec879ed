//! Whether a source can be read, and by nobody else: an invocation that tries it out and says in plain words what it
//! found.

use std::hash::{BuildHasher, RandomState};

use aws_sdk_s3::types::Object;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::amazon::session_key;
use crate::fault::{Fault, fault};
use crate::handle::{DocumentLoader, Failure};
use crate::location::Location;
use crate::queue::Version;
use crate::read::Reading;
use crate::reason::{Problem, Reason};
use crate::role::Key;
use crate::source::Source;

/// How many objects are listed to find one that can be read.
const LISTED: i32 = 20;

/// What was found out about a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The prefix of the source, or the place that was asked for if it has none.
    pub source: String,
    /// Whether everything is as it should be.
    pub ok: bool,
    /// What was tried, in this order.
    pub findings: Vec<Finding>,
}

/// What one trial showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried: `source`, `assume_role`, `list`, `read`, `without_external_id` or `wrong_external_id`.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Finding {
    fn good(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            ok: true,
            says: says.into(),
            todo: None,
        }
    }

    fn bad(check: &'static str, says: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            check,
            ok: false,
            says: says.into(),
            todo: Some(todo.into()),
        }
    }
}

impl DocumentLoader {
    /// Tries out a source. What waited for it is loaded if it works.
    ///
    /// # Errors
    ///
    /// The database could not be asked. Whatever is found is no error.
    pub(crate) async fn verify(&self, place: &str, deadline: Instant) -> Result<Verified, Failure> {
        timeout_at(deadline, self.try_out(place))
            .await
            .map_err(|_elapsed| Failure::TimeOut)?
    }

    async fn try_out(&self, place: &str) -> Result<Verified, Failure> {
        let source = self.queue.source(place).await?;
        let mut findings = Vec::new();
        let Some((location, prefix)) = place_of(place, &source) else {
            findings.push(Finding::bad(
                "source",
                format!("{place} is not a place in a bucket"),
                "give the prefix of a source, such as s3://bucket/folder/",
            ));
            return Ok(verified(place, findings));
        };
        findings.push(known(&source));
        let reading = Reading {
            reader: &self.reader,
            source: &source,
            location: &location,
        };
        let is_assumed = self.try_role(&source, &location, &mut findings).await;
        let is_readable = is_assumed && try_to_read(reading, &prefix, &mut findings).await;
        if is_assumed && let Some(key) = session_key(&source, location.bucket()) {
            findings.push(self.try_without(&key, &source).await);
            findings.push(self.try_with_another(&key, &source).await);
        }
        let verified = verified(
            if source.id == 0 {
                place
            } else {
                &source.prefix
            },
            findings,
        );
        if is_readable && source.id != 0 {
            self.queue.verified(source.id, verified.ok).await?;
        }
        Ok(verified)
    }

    async fn try_role(
        &self,
        source: &Source,
        location: &Location,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let Some(key) = session_key(source, location.bucket()) else {
            return true;
        };
        let session = self.reader.amazon.roles().session(&key, &source.prefix);
        session.forgive().await;
        match session.credentials(source.revision).await {
            Ok(_) => {
                findings.push(Finding::good(
                    "assume_role",
                    format!("the role {} can be assumed", key.role.arn),
                ));
                true
            }
            Err(problem) => {
                findings.push(Finding::bad(
                    "assume_role",
                    problem.message,
                    match problem.reason {
                        Reason::RoleDenied => "compare the trust policy with that of source_policies(), and the function's parameter LoaderRoleArns with the role; a change takes up to a minute to count everywhere",
                        Reason::RoleInvalid => "correct what STS complains of; a region is switched on for STS in the account settings of the function's account",
                        _ => "try again later; in a VPC the function needs an endpoint for STS",
                    },
                ));
                false
            }
        }
    }

    /// Whoever else is trusted must not get in: with the same function, for a customer of somebody else's.
    async fn try_without(&self, key: &Key, source: &Source) -> Finding {
        const CHECK: &str = "without_external_id";
        let assumed = self
            .reader
            .amazon
            .roles()
            .try_to_assume(key, None, &source.prefix)
            .await;
        match assumed {
            Ok(()) => Finding::bad(
                CHECK,
                "the role can be assumed WITHOUT the external id: whoever may give this function orders can have it read these documents",
                "add the condition of source_policies() to the trust policy: StringEquals on sts:ExternalId",
            ),
            Err(problem) if problem.reason == Reason::RoleDenied => Finding::good(
                CHECK,
                "without the external id the role cannot be assumed, as it should be",
            ),
            Err(problem) => unknown(CHECK, &problem),
        }
    }

    async fn try_with_another(&self, key: &Key, source: &Source) -> Finding {
        const CHECK: &str = "wrong_external_id";
        let another = format!("holdfast-wrong-{:016x}", RandomState::new().hash_one(0_u8));
        let assumed = self
            .reader
            .amazon
            .roles()
            .try_to_assume(key, Some(&another), &source.prefix)
            .await;
        match assumed {
            Ok(()) => Finding::bad(
                CHECK,
                "the role can be assumed with ANOTHER external id than its own, so that it protects nothing",
                "compare sts:ExternalId by StringEquals with the external id itself, not by StringLike with a pattern",
            ),
            Err(problem) if problem.reason == Reason::RoleDenied => Finding::good(
                CHECK,
                "with another external id the role cannot be assumed, as it should be",
            ),
            Err(problem) => unknown(CHECK, &problem),
        }
    }
}

fn verified(source: &str, findings: Vec<Finding>) -> Verified {
    Verified {
        source: source.to_owned(),
        ok: findings.iter().all(|finding| finding.ok),
        findings,
    }
}

fn known(source: &Source) -> Finding {
    let says = match (source.id, &source.role) {
        (0, _) => "there is no source for it: it is read with the function's own rights".to_owned(),
        (_, None) => format!(
            "the source {} is read with the function's own rights",
            source.prefix
        ),
        (_, Some(role)) => format!(
            "the source {} is read by the role {}",
            source.prefix, role.arn
        ),
    };
    if source.load {
        Finding::good("source", says)
    } else {
        Finding::bad(
            "source",
            format!("{says}, but its documents are not loaded"),
            "call change_source() with load => true",
        )
    }
}

/// A place in the bucket, and the beginning of the keys to look at.
fn place_of(place: &str, source: &Source) -> Option<(Location, String)> {
    let place = if source.id == 0 {
        place
    } else {
        &source.prefix
    };
    let (_, prefix) = place.strip_prefix("s3://")?.split_once('/')?;
    // Some key: what is asked for here are buckets.
    let location = format!("{}-", place.get(..place.len() - prefix.len())?)
        .parse()
        .ok()?;
    Some((location, prefix.to_owned()))
}

async fn try_to_read(reading: Reading<'_>, prefix: &str, findings: &mut Vec<Finding>) -> bool {
    let listed = match list(reading, prefix).await {
        Ok(listed) => listed,
        Err(problem) => {
            findings.push(Finding::bad(
                "list",
                format!("the objects cannot be listed: {}", problem.message),
                todo(&problem, "allow s3:ListBucket on the bucket, under the condition that s3:prefix begins so: see source_policies()"),
            ));
            return false;
        }
    };
    let readable = listed.iter().find_map(|object| {
        let is_there = object.size.is_some_and(|size| size > 0);
        object.key.as_ref().filter(|_| is_there)
    });
    let Some(key) = readable else {
        findings.push(Finding::good(
            "list",
            "the objects can be listed, but there are none with content: put one there, and verify again, to see that it can be read",
        ));
        return true;
    };
    findings.push(Finding::good("list", "the objects can be listed"));
    let Ok(location) = format!("s3://{}/{key}", reading.location.bucket()).parse::<Location>()
    else {
        return true;
    };
    let reading = Reading {
        location: &location,
        ..reading
    };
    match reading.taste().await {
        Ok(()) => {
            findings.push(Finding::good("read", format!("{location} can be read")));
            true
        }
        Err(problem) if problem.reason == Reason::Archived => {
            findings.push(Finding::good(
                "read",
                format!("{location} could be read, were it not in an archive"),
            ));
            true
        }
        Err(problem) => {
            findings.push(Finding::bad(
                "read",
                format!("{location} cannot be read: {}", problem.message),
                todo(&problem, "allow s3:GetObject and s3:GetObjectVersion on the objects, and kms:Decrypt on the key if they are encrypted by one of the customer's own: see source_policies()"),
            ));
            false
        }
    }
}

fn todo(problem: &Problem, denied: &str) -> String {
    match problem.reason {
        Reason::Denied => denied.to_owned(),
        Reason::BucketMissing => "check the name of the bucket in the prefix".to_owned(),
        Reason::Rejected => "check region and expected_bucket_owner of the source".to_owned(),
        _ => "try again later".to_owned(),
    }
}

async fn list(reading: Reading<'_>, prefix: &str) -> Result<Vec<Object>, Problem> {
    let source = reading.source;
    reading
        .ask(|access| async move {
            let page = access
                .client
                .list_objects_v2()
                .bucket(reading.location.bucket())
                .prefix(prefix)
                .max_keys(LISTED)
                .set_request_payer(reading.payer())
                .set_expected_bucket_owner(source.expected_bucket_owner.clone())
                .send()
                .await
                .map_err(|error| match fault("ListObjectsV2", &error) {
                    // It is no object that could be missing.
                    Fault::Denied(problem) => Fault::Problem(problem),
                    fault => fault,
                })?;
            Ok(page.contents.unwrap_or_default())
        })
        .await
}

fn unknown(check: &'static str, problem: &Problem) -> Finding {
    Finding::bad(
        check,
        format!("it could not be found out: {}", problem.message),
        "try again later",
    )
}

impl Reading<'_> {
    /// Reads the first byte of an object.
    async fn taste(self) -> Result<(), Problem> {
        self.head(&Version::default()).await?;
        self.ask(|access| async move {
            self.get(&access, &Version::default(), Some("bytes=0-0"))
                .await
                .map(drop)
        })
        .await
    }
}
