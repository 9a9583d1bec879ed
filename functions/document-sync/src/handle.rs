//! One invocation.

use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
use shared::database::Database;
use shared::queue::Queue;
use shared::s3::S3;
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::command::{Command, InvalidCommand};
use crate::config::Config;
use crate::delivery::Report;
use crate::documents::{self, Documents};
use crate::envelope::{Payload, Request};
use crate::filter::Filter;
use crate::reconcile::{self, Reconciled};
use crate::replay::Replayed;

/// The function: what it reaches, and what it was told.
#[derive(Debug)]
pub struct DocumentSync {
    /// Where the objects are.
    pub s3: S3,
    /// Where the documents are.
    pub documents: Documents,
    /// Which objects are documents.
    pub filter: Filter,
    /// Who is told when documents changed, if anybody is.
    pub loader: Option<Queue>,
    /// The greatest part of the documents, 0 to 1, that a reconcile may remove.
    pub max_deleted_share: f64,
}

/// What the invocation returns to Lambda.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a queue: the messages to deliver again.
    Queue(SqsBatchResponse),
    /// To whoever else sent an event: what was done.
    Direct(Report),
    /// To a command: what was done.
    Done(Done),
}

/// What a command came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Done {
    /// Of the messages in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replayed>,
    /// Of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<Reconciled>,
}

/// Why an invocation failed, with all causes: Lambda shows its caller nothing but this text. Nothing that was reported as done is lost, and all of it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An event without a queue behind it was not applied, or not wholly: Lambda has to deliver it again.
    #[error("the event was not applied: {0}")]
    NotApplied(String),
    /// There is no such command.
    #[error(transparent)]
    Command(#[from] InvalidCommand),
    /// Messages are still in quarantine.
    #[error("the quarantine was not replayed, or not wholly: {}", chain(.0))]
    Replay(documents::Error),
    /// The bucket was not compared to its end; the next run resumes.
    #[error("the bucket was not reconciled, or not wholly: {}", chain(.0))]
    Reconcile(reconcile::Error),
}

impl DocumentSync {
    /// The function of these settings. Nothing is connected yet.
    pub fn new(config: Config) -> Self {
        Self {
            s3: S3::new(config.s3),
            documents: Documents::new(Database::new(config.database), config.table),
            filter: config.filter,
            loader: config.loader.map(Queue::new),
            max_deleted_share: config.max_deleted_share,
        }
    }

    /// Does what one invocation asks for: applies events to the documents table, or carries out a command.
    ///
    /// What can be applied is, in one transaction, whatever else the batch holds. `request_id` is the invocation's
    /// own; `deadline` is when the answer must be there, and what is not done by then counts as not applied.
    ///
    /// # Errors
    ///
    /// [`Failure`] for what did not come from a queue; a queue's messages are named in the answer instead.
    pub async fn handle(
        &self,
        payload: &Payload,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        match payload.open(OffsetDateTime::now_utc()) {
            Request::Events(delivery) => self.deliver(delivery, request_id, deadline).await,
            // On the heap: it is seldom, and larger than everything else here.
            Request::Command(command) => Box::pin(self.carry_out(command?, deadline))
                .await
                .map(Answer::Done),
        }
    }

    async fn carry_out(&self, command: Command, deadline: Instant) -> Result<Done, Failure> {
        let mut done = Done::default();
        if let Some(replay) = &command.replay {
            done.replay = Some(
                self.replay(replay, deadline)
                    .await
                    .map_err(Failure::Replay)?,
            );
        }
        if let Some(reconcile) = &command.reconcile {
            done.reconcile = Some(
                self.reconcile(reconcile, deadline)
                    .await
                    .map_err(Failure::Reconcile)?,
            );
        }
        Ok(done)
    }
}
