//! Who is told about what: notification configurations and their delivery into queues.

use s3s::S3ErrorCode;
use s3s::dto;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::clock::now_milliseconds;
use crate::database::Write;
use crate::error::Failure;
use crate::event::{self, Change};
use crate::faults::Faults;
use crate::{queue, random};

/// The account that owns every bucket and queue here.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The families and names of <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>.
const EVENTS: [&str; 32] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:Put",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAnnotation:*",
    "s3:ObjectAnnotation:Put",
    "s3:ObjectAnnotation:Delete",
    "s3:ObjectRetention:*",
    "s3:ObjectRetention:Put",
];

/// What a bucket announces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) queues: Vec<Rule>,
    pub(crate) event_bridge: bool,
}

/// Events of some names, for keys of some prefix and suffix, go to one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) queue_arn: String,
    pub(crate) events: Vec<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) suffix: Option<String>,
}

impl Rule {
    /// The queue's name, the last part of its ARN.
    pub(crate) fn queue(&self) -> &str {
        self.queue_arn.rsplit(':').next().unwrap_or(&self.queue_arn)
    }

    fn wants(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|pattern| covers(pattern, event))
            && key.starts_with(self.prefix.as_deref().unwrap_or_default())
            && key.ends_with(self.suffix.as_deref().unwrap_or_default())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let shared_event = self
            .events
            .iter()
            .any(|a| other.events.iter().any(|b| covers(a, b) || covers(b, a)));
        let (a, b) = (
            self.prefix.as_deref().unwrap_or_default(),
            other.prefix.as_deref().unwrap_or_default(),
        );
        let shared_prefix = a.starts_with(b) || b.starts_with(a);
        let (a, b) = (
            self.suffix.as_deref().unwrap_or_default(),
            other.suffix.as_deref().unwrap_or_default(),
        );
        shared_event && shared_prefix && (a.ends_with(b) || b.ends_with(a))
    }
}

/// Whether `pattern` (`s3:Family:*` or a full name) covers `event` (`s3:Family:Name`).
fn covers(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(family) => event.starts_with(family),
        None => pattern == event,
    }
}

/// The ARN of queue `name` in `region`.
pub(crate) fn queue_arn(region: &str, name: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT}:{name}")
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::answer(S3ErrorCode::InvalidArgument, message)
}

impl Configuration {
    /// Reads and checks a request's configuration.
    pub(crate) fn from_request(
        request: dto::NotificationConfiguration,
        regions: &[&str],
    ) -> Result<Self, Failure> {
        if request
            .lambda_function_configurations
            .is_some_and(|list| !list.is_empty())
        {
            return Err(invalid(
                "Lambda destinations do not exist here: notify a queue, and let the function poll it",
            ));
        }
        if request
            .topic_configurations
            .is_some_and(|list| !list.is_empty())
        {
            return Err(invalid(
                "SNS destinations do not exist here: notify a queue",
            ));
        }
        let mut queues = Vec::new();
        for queue in request.queue_configurations.unwrap_or_default() {
            queues.push(rule(queue, regions)?);
        }
        let configuration = Self {
            queues,
            event_bridge: request.event_bridge_configuration.is_some(),
        };
        configuration.check()?;
        Ok(configuration)
    }

    /// Refuses configurations that would announce one change twice.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (index, rule) in self.queues.iter().enumerate() {
            for other in self.queues.iter().take(index) {
                if rule.id == other.id {
                    return Err(invalid(
                        "Same ID used for multiple configurations. IDs must be unique",
                    ));
                }
                if rule.overlaps(other) {
                    return Err(invalid(
                        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The configuration as the API answers it.
    pub(crate) fn to_response(&self) -> dto::GetBucketNotificationConfigurationOutput {
        let queues: Vec<_> = self.queues.iter().map(queue_configuration).collect();
        dto::GetBucketNotificationConfigurationOutput {
            event_bridge_configuration: self
                .event_bridge
                .then(dto::EventBridgeConfiguration::default),
            queue_configurations: (!queues.is_empty()).then_some(queues),
            ..Default::default()
        }
    }
}

fn rule(request: dto::QueueConfiguration, regions: &[&str]) -> Result<Rule, Failure> {
    let arn = request.queue_arn;
    let parts: Vec<&str> = arn.split(':').collect();
    let [_arn, "aws", "sqs", region, account, name] = parts.as_slice() else {
        return Err(invalid("The ARN could not be parsed"));
    };
    if !arn.starts_with("arn:")
        || *account != ACCOUNT
        || !regions.contains(region)
        || !queue::is_name(name)
    {
        return Err(invalid(format!(
            "Unable to validate the following destination configurations: {arn} is no queue of this store; use arn:aws:sqs:<region>:{ACCOUNT}:<queue name>"
        )));
    }
    let events: Vec<String> = request.events.into_iter().map(String::from).collect();
    if events.is_empty() || events.iter().any(|event| !EVENTS.contains(&event.as_str())) {
        return Err(invalid("The event is not supported for notifications"));
    }
    let (mut prefix, mut suffix) = (None, None);
    for filter in request
        .filter
        .and_then(|filter| filter.key)
        .and_then(|key| key.filter_rules)
        .unwrap_or_default()
    {
        let slot = match filter
            .name
            .as_ref()
            .map(|name| name.as_str().to_ascii_lowercase())
            .as_deref()
        {
            Some("prefix") => &mut prefix,
            Some("suffix") => &mut suffix,
            _ => return Err(invalid("filter rule name must be either prefix or suffix")),
        };
        if slot.replace(filter.value.unwrap_or_default()).is_some() {
            return Err(invalid(
                "Cannot specify more than one prefix rule or suffix rule in a filter",
            ));
        }
    }
    let id = match request.id.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => random::uuid()?,
    };
    Ok(Rule {
        id,
        queue_arn: arn,
        events,
        prefix,
        suffix,
    })
}

fn queue_configuration(rule: &Rule) -> dto::QueueConfiguration {
    let filter = |name: &'static str, value: &Option<String>| {
        value.clone().map(|value| dto::FilterRule {
            name: Some(dto::FilterRuleName::from_static(name)),
            value: Some(value),
        })
    };
    let rules: Vec<_> = [
        filter("Prefix", &rule.prefix),
        filter("Suffix", &rule.suffix),
    ]
    .into_iter()
    .flatten()
    .collect();
    dto::QueueConfiguration {
        events: rule.events.iter().cloned().map(dto::Event::from).collect(),
        filter: (!rules.is_empty()).then_some(dto::NotificationConfigurationFilter {
            key: Some(dto::S3KeyFilter {
                filter_rules: Some(rules),
            }),
        }),
        id: Some(rule.id.clone()),
        queue_arn: rule.queue_arn.clone(),
    }
}

/// What delivery needs to know besides the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) event_bridge_queue: Option<String>,
    pub(crate) faults: Faults,
}

impl Delivery {
    /// Puts the events of `change` into the queues that asked for them, in the change's own
    /// transaction: the change and its events become durable together.
    pub(crate) fn announce(
        &self,
        write: &mut Write<'_>,
        bucket: &Bucket,
        change: &Change<'_>,
    ) -> Result<(), Failure> {
        let Some(configuration) = &bucket.notification else {
            return Ok(());
        };
        let name = format!("s3:{}", change.kind.name());
        for rule in &configuration.queues {
            if rule.wants(&name, &change.key) {
                self.send(
                    write,
                    rule.queue(),
                    &event::classic(bucket, change, &rule.id)?,
                )?;
            }
        }
        if configuration.event_bridge
            && let Some(queue) = &self.event_bridge_queue
            && let Some(body) = event::event_bridge(bucket, change)?
        {
            self.send(write, queue, &body)?;
        }
        Ok(())
    }

    /// Tells every queue of a new configuration that it is one.
    pub(crate) fn announce_test(
        write: &mut Write<'_>,
        bucket: &Bucket,
        configuration: &Configuration,
        request_id: &str,
    ) -> Result<(), Failure> {
        let body = event::test(bucket, request_id)?;
        let mut told: Vec<&str> = Vec::new();
        for rule in &configuration.queues {
            if !told.contains(&rule.queue()) {
                queue::insert(write, rule.queue(), &body, now_milliseconds())?;
                told.push(rule.queue());
            }
        }
        Ok(())
    }

    fn send(&self, write: &mut Write<'_>, queue: &str, body: &str) -> Result<(), Failure> {
        let now = now_milliseconds();
        for delay in self.faults.deliveries() {
            queue::insert(write, queue, body, now + delay)?;
        }
        Ok(())
    }
}
