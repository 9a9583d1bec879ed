//! One invocation.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
use shared::telemetry::chain;
use tokio::time::{Instant, timeout_at};

use crate::amazon::Amazon;
use crate::budget::Budget;
use crate::command::{Command, InvalidCommand, Load, Message, Payload, Request};
use crate::config::Config;
use crate::extraction::{Extraction, processes};
use crate::queue::{self, Queue};
use crate::read::Reader;
use crate::report::Report;
use crate::run::{Limits, Run};
use crate::slots::Slots;
use crate::telemetry::publish;
use crate::verify::Verified;

/// The function: what it reaches, and what it was told.
#[derive(Debug)]
pub struct DocumentLoader {
    /// What there is to do, and where text goes.
    pub queue: Arc<Queue>,
    pub(crate) reader: Arc<Reader>,
    limits: Limits,
}

/// What the invocation returns to Lambda.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a queue: the messages to deliver again.
    Queue(SqsBatchResponse),
    /// To an order to load: what was done.
    Load(Done),
    /// To an order to verify: what was found.
    Verify(Verified),
}

/// What an order to load came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// What became of documents.
    pub load: Report,
    /// Why the document that was asked for was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Why an invocation failed, with all causes: Lambda shows its caller nothing but this text. Nothing is lost, and all of it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no such order.
    #[error(transparent)]
    Command(#[from] InvalidCommand),
    /// The database is away, or its owner has to change something first.
    #[error("documents were not loaded, or not all that are due: {}", chain(.0))]
    Database(#[from] queue::Error),
    /// It does not answer.
    #[error("the database did not answer in time")]
    TimeOut,
}

impl DocumentLoader {
    /// The function of these settings. Nothing is connected yet.
    pub fn new(config: Config) -> Self {
        let amazon = Amazon::new(&config.amazon);
        Self::with_amazon(config, amazon)
    }

    /// As [`new`](Self::new), with S3 and STS that are set up already.
    pub fn with_amazon(config: Config, amazon: Amazon) -> Self {
        let queue = Queue::new(config.database, config.table, config.role_arn);
        Self {
            queue: Arc::new(queue),
            reader: Arc::new(Reader {
                amazon,
                // Objects and their texts, beside the processes and what these answer.
                budget: Budget::new(config.memory / 8),
                slots: Slots::new(processes(config.memory)),
                extraction: Extraction::new(config.program, config.memory),
                max_bytes: config.max_bytes,
            }),
            limits: Limits {
                documents: config.concurrency,
                // The other one claims.
                writers: config.connections.saturating_sub(1).max(1),
            },
        }
    }

    /// How often STS was asked for credentials so far.
    pub fn role_calls(&self) -> usize {
        self.reader.amazon.role_calls()
    }

    /// Does what one invocation asks for. `deadline` is when the answer must be there: before it, what is in hand is
    /// settled or given back.
    ///
    /// # Errors
    ///
    /// [`Failure`] for what did not come from a queue; a queue's messages are named in the answer instead.
    pub async fn handle(&self, payload: &Payload, deadline: Instant) -> Result<Answer, Failure> {
        match payload.open()? {
            Request::Messages(messages) => {
                Ok(Answer::Queue(self.deliver(messages, deadline).await))
            }
            Request::Command(Command::Load(Load { uri: None })) => {
                let load = self.load(deadline).await?;
                Ok(Answer::Load(Done {
                    load,
                    refused: None,
                }))
            }
            Request::Command(Command::Load(Load { uri: Some(uri) })) => {
                self.load_one(&uri, deadline).await.map(Answer::Load)
            }
            Request::Command(Command::Verify(verify)) => self
                .verify(&verify.source, deadline)
                .await
                .map(Answer::Verify),
        }
    }

    /// Loads what is due.
    async fn load(&self, deadline: Instant) -> Result<Report, Failure> {
        let started = Instant::now();
        let calls = self.role_calls();
        let run = Run::new(
            Arc::clone(&self.queue),
            Arc::clone(&self.reader),
            self.limits,
            deadline,
        );
        let worked = timeout_at(deadline, run.work())
            .await
            .map_err(|_elapsed| Failure::TimeOut)?;
        let oldest = match timeout_at(deadline, self.queue.oldest()).await {
            Ok(Ok(oldest)) => Some(oldest),
            _ => None,
        };
        let report = worked?;
        if report.finished
            && let Ok(Err(error)) = timeout_at(deadline, self.queue.forget_errors()).await
        {
            tracing::warn!(error = %chain(&error), "old errors were not forgotten");
        }
        publish(
            &report,
            oldest,
            started.elapsed(),
            self.role_calls() - calls,
        );
        Ok(report)
    }

    /// Loads one document at once, if it is in the documents table and nobody else is at it.
    async fn load_one(&self, uri: &str, deadline: Instant) -> Result<Done, Failure> {
        let refused = |why: &str| Done {
            load: Report::default(),
            refused: Some(why.to_owned()),
        };
        let claim = timeout_at(deadline, async {
            self.queue.notice_one(uri).await?;
            self.queue.claim_one(uri).await
        });
        let claim = claim.await.map_err(|_elapsed| Failure::TimeOut)??;
        let Some(claim) = claim else {
            let state = timeout_at(deadline, self.queue.state(uri)).await;
            return Ok(
                match state.map_err(|_elapsed| Failure::TimeOut)??.as_deref() {
                    None => refused("it is not in the documents table"),
                    Some("skipped") => refused("its source is not loaded: see change_source()"),
                    Some(_) => refused("it is being loaded already"),
                },
            );
        };
        let started = Instant::now();
        let calls = self.role_calls();
        let run = Run::new(
            Arc::clone(&self.queue),
            Arc::clone(&self.reader),
            self.limits,
            deadline,
        );
        let report = timeout_at(deadline, run.load(vec![claim]))
            .await
            .map_err(|_elapsed| Failure::TimeOut)?;
        publish(&report, None, started.elapsed(), self.role_calls() - calls);
        Ok(Done {
            load: report,
            refused: None,
        })
    }

    /// Loads what is due because messages came. They are acknowledged when the database has been looked at: what is due
    /// is kept there, and not in the queue.
    async fn deliver(&self, messages: Vec<Message>, deadline: Instant) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        let done = async {
            for uri in messages.iter().flat_map(|message| &message.uris) {
                timeout_at(deadline, self.queue.hasten(uri))
                    .await
                    .map_err(|_elapsed| Failure::TimeOut)??;
            }
            self.load(deadline).await
        };
        if let Err(failure) = done.await {
            tracing::error!(error = %failure, "documents were not loaded");
            let ids = messages.into_iter().filter_map(|message| message.id);
            response.set_failures(ids.filter(|id| !id.is_empty()));
        }
        response
    }
}
