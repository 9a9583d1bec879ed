//! The notification configuration of a bucket.

use s3s::S3Request;
use s3s::dto::{
    Event, GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput,
    NotificationConfiguration, PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput, QueueConfiguration,
};

use super::Store;
use crate::bucket::Bucket;
use crate::error::Failure;
use crate::notification::{Configuration, Delivery, Rule, queue_arn};
use crate::request::{Reply, RequestId, Requester};

impl Store {
    pub(super) async fn get_bucket_notification_configuration(
        &self,
        _requester: &Requester,
        request: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> Result<Reply<GetBucketNotificationConfigurationOutput>, Failure> {
        let bucket = self.bucket(request.input.bucket).await?;
        Ok(bucket.notification.unwrap_or_default().to_response().into())
    }

    pub(super) async fn put_bucket_notification_configuration(
        &self,
        requester: &Requester,
        request: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> Result<Reply<PutBucketNotificationConfigurationOutput>, Failure> {
        let input = request.input;
        let (store, request_id) = (self.clone(), requester.request_id.clone());
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                let regions = [bucket.region.as_str(), store.region.as_str()];
                let configuration =
                    Configuration::from_request(input.notification_configuration, &regions)?;
                bucket.set_notification(write.connection, &configuration)?;
                Delivery::announce_test(write, &bucket, &configuration, &request_id)
            })
            .await?;
        Ok(PutBucketNotificationConfigurationOutput::default().into())
    }

    /// Adds a rule for `queue`, or changes the one that [`Self::notify_queue`] added before.
    /// Nothing happens, and no test event is sent, where the rule is there already.
    pub(crate) async fn notify_queue(
        &self,
        bucket: &str,
        queue: &str,
        events: &[&str],
    ) -> Result<(), Failure> {
        let (name, queue) = (bucket.to_owned(), queue.to_owned());
        let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &name)?;
                let id = format!("notify-{queue}");
                let request = QueueConfiguration {
                    events: events.into_iter().map(Event::from).collect(),
                    filter: None,
                    id: Some(id.clone()),
                    queue_arn: queue_arn(&bucket.region, &queue),
                };
                let request = NotificationConfiguration {
                    queue_configurations: Some(vec![request]),
                    ..Default::default()
                };
                let fresh = Configuration::from_request(request, &[&bucket.region])?;
                let mut configuration = bucket.notification.clone().unwrap_or_default();
                if fresh
                    .queues
                    .iter()
                    .all(|rule| configuration.queues.contains(rule))
                {
                    return Ok(());
                }
                configuration.queues.retain(|rule: &Rule| rule.id != id);
                configuration.queues.extend(fresh.queues.iter().cloned());
                configuration.check()?;
                bucket.set_notification(write.connection, &configuration)?;
                Delivery::announce_test(write, &bucket, &fresh, &RequestId::new()?.0)
            })
            .await
    }
}
