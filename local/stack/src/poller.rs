use std::{collections::HashSet, sync::Arc, time::Duration};

use embedded_s3::{Message, Queue, QueueError};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use shared::telemetry::chain;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    function::{Function, request_id},
    store::REGION,
};

/// Messages per invocation, at most.
const BATCH: usize = 1000;
/// What an invocation may take.
const INVOCATION: Duration = Duration::from_secs(20);
/// A message whose reader was killed comes again after this. It is longer than an invocation, and no invocation
/// begins before the last has ended, so nothing is delivered to two at once.
const VISIBILITY: Duration = Duration::from_secs(30);
/// How long one look at an empty queue lasts, and hence how long a stop waits for it.
const WAIT: Duration = Duration::from_millis(500);
/// A refused message comes again after a pause that doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

/// What says that there is something to load.
const LOAD: &str = r#"{"load": {}}"#;
/// How often it is said without a reason, as the schedule does on AWS.
const SCHEDULE: Duration = Duration::from_secs(10);

/// Carries messages from a queue to a function, as Lambda's event source mapping does.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) queue: Queue,
    pub(crate) function: Arc<Function>,
    /// Whose messages say that the function has done something.
    pub(crate) told: Option<Queue>,
}

/// Says every now and then that there may be something to load, until `stop` is set.
pub(crate) async fn schedule(queue: Queue, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = queue.send(LOAD).await {
            tracing::error!(error = %chain(&error), "the queue cannot be used");
        }
        tokio::select! {
            () = sleep(SCHEDULE) => {}
            _ = stop.changed() => {}
        }
    }
}

impl Poller {
    /// Works until `stop` is set; the batch in hand is finished first.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.deliver().await {
                tracing::error!(error = %chain(&error), "the queue cannot be used");
                sleep(WAIT).await;
            }
        }
    }

    async fn deliver(&self) -> Result<(), QueueError> {
        let messages = self.queue.receive(BATCH, VISIBILITY, WAIT).await?;
        if messages.is_empty() {
            return Ok(());
        }
        let refused = self.invoke(&messages).await;
        if let Some(told) = &self.told {
            told.send(LOAD).await?;
        }
        let (again, done): (Vec<&Message>, Vec<&Message>) = messages
            .iter()
            .partition(|message| refused.contains(&message.id));
        self.queue.delete(&receipts(&done)).await?;
        // One pause for messages that were delivered equally often: few statements for a long queue.
        let counts: HashSet<u32> = again.iter().map(|message| message.receive_count).collect();
        for count in counts {
            let equal: Vec<&Message> = again
                .iter()
                .copied()
                .filter(|message| message.receive_count == count)
                .collect();
            self.queue.extend(&receipts(&equal), pause(count)).await?;
        }
        Ok(())
    }

    /// Invokes the function, and gives the ids of the messages to deliver again.
    async fn invoke(&self, messages: &[Message]) -> HashSet<String> {
        let all = || messages.iter().map(|message| message.id.clone()).collect();
        let name = self.function.name();
        let payload = event(name, messages).to_string();
        let deadline = Instant::now() + INVOCATION;
        match self
            .function
            .invoke(&request_id(), &payload, deadline)
            .await
        {
            // What is no answer to a queue acknowledges nothing.
            Ok(answer) => failed(&answer).unwrap_or_else(all),
            Err(failure) => {
                tracing::error!(error = %failure, "{name} failed");
                all()
            }
        }
    }
}

/// The messages that an answer to a queue names.
fn failed(answer: &Value) -> Option<HashSet<String>> {
    let failures = answer.get("batchItemFailures")?.as_array()?;
    failures
        .iter()
        .map(|failure| Some(failure.get("itemIdentifier")?.as_str()?.to_owned()))
        .collect()
}

fn receipts(messages: &[&Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message.receipt_handle.clone())
        .collect()
}

fn pause(deliveries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(deliveries.saturating_sub(1));
    SHORTEST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// The event that Lambda makes of messages.
///
/// Source: AWS Lambda developer guide, "Using Lambda with Amazon SQS", example of a standard queue's event.
fn event(function: &str, messages: &[Message]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": message.receive_count.to_string(),
                    "SentTimestamp": milliseconds(message.sent_at.unix_timestamp_nanos()),
                    "SenderId": "s3.amazonaws.com",
                    "ApproximateFirstReceiveTimestamp": milliseconds(message.first_received_at.unix_timestamp_nanos()),
                },
                "messageAttributes": {},
                "md5OfBody": hex::encode(Md5::digest(&message.body)),
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:{REGION}:000000000000:{function}"),
                "awsRegion": REGION,
            })
        })
        .collect();
    json!({ "Records": records })
}

fn milliseconds(nanoseconds: i128) -> String {
    (nanoseconds / 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pauses: Vec<u128> = (1..=9).map(|count| pause(count).as_millis()).collect();
        assert_eq!(
            pauses,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
