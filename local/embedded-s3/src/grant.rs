//! What the sender of a request may do to its bucket.

use std::sync::Arc;

use embedded_iam::{AccountId, Authority, Context, Guard, Question, partition_of};
use s3s::{S3Error, S3ErrorCode};

use crate::facts::BucketFacts;
use crate::permission::Need;

/// A sender and a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    authority: Arc<Authority>,
    /// `None` where the request names none.
    bucket: Option<String>,
    /// `None` where there is no such bucket: it would be the sender's own.
    facts: Option<Arc<BucketFacts>>,
    /// Whether a missing object is not told from a forbidden one.
    pub(crate) hides_missing: bool,
    /// Whether the sender pays for the request.
    pub(crate) is_charged: bool,
}

impl Grant {
    pub(crate) fn new(
        authority: Arc<Authority>,
        bucket: Option<&str>,
        facts: Option<Arc<BucketFacts>>,
    ) -> Self {
        Self {
            authority,
            bucket: bucket.map(str::to_owned),
            facts,
            hides_missing: false,
            is_charged: false,
        }
    }

    /// The sender's account.
    pub(crate) fn account(&self) -> &AccountId {
        self.authority.caller().account()
    }

    /// The sender's id, as events and policies know it.
    pub(crate) fn user_id(&self) -> String {
        self.authority.caller().user_id()
    }

    /// The same sender with another bucket.
    pub(crate) fn elsewhere(&self, bucket: &str, facts: Arc<BucketFacts>) -> Self {
        Self::new(Arc::clone(&self.authority), Some(bucket), Some(facts))
    }

    fn owner(&self) -> &AccountId {
        self.facts
            .as_ref()
            .map_or_else(|| self.account(), |facts| &facts.account)
    }

    /// Whether the sender may do everything with the bucket, without any policy being asked.
    pub(crate) fn is_unquestioned(&self) -> bool {
        let has_policy = self
            .facts
            .as_ref()
            .is_some_and(|facts| facts.policy.is_some());
        !has_policy && self.is_administrators()
    }

    /// Whether the sender is the administrator of the bucket's account.
    pub(crate) fn is_administrators(&self) -> bool {
        self.authority.is_administrator_of(self.owner())
    }

    /// Whether the bucket is another account's.
    pub(crate) fn is_foreign(&self) -> bool {
        self.owner() != self.account()
    }

    /// `AccessDenied`, unless the sender may.
    pub(crate) fn check(&self, need: &Need, context: &Context) -> Result<(), S3Error> {
        let facts = self.facts.as_ref();
        let policy = facts.and_then(|facts| facts.policy.as_ref());
        let partition = partition_of(facts.map_or("", |facts| &facts.region));
        let bucket = self.bucket.as_deref().unwrap_or("*");
        let resource = match &need.key {
            Some(key) => format!("arn:{partition}:s3:::{bucket}/{key}"),
            None => format!("arn:{partition}:s3:::{bucket}"),
        };
        let question = Question {
            action: &need.action,
            resource: &resource,
            owner: self.owner(),
            guard: policy.map_or(Guard::None, Guard::Resource),
            context,
        };
        self.authority.decide(&question).map_err(|refused| {
            S3Error::with_message(S3ErrorCode::AccessDenied, refused.to_string())
        })
    }

    /// Whether the sender may list the bucket, as a whole.
    pub(crate) fn may_list(&self) -> bool {
        let list = Need {
            action: "s3:ListBucket".into(),
            key: None,
        };
        self.is_unquestioned() || self.check(&list, &Context::default()).is_ok()
    }

    /// As [`check`](Self::check), of an object whose key came with the request's body.
    pub(crate) fn check_object(
        &self,
        action: &'static str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<(), S3Error> {
        if self.is_unquestioned() {
            return Ok(());
        }
        let need = Need {
            action: action.into(),
            key: Some(key.to_owned()),
        };
        let context = version_id.map_or_else(Context::default, |id| {
            Context::default().with("s3:VersionId", id)
        });
        self.check(&need, &context)
    }
}
