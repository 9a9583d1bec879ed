//! Starts document-sync on Lambda.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use document_sync::{Config, Documents, Payload, handle};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use shared::telemetry::{self, chain};
use shared::{config, s3::S3};
use tokio::time::Instant;

/// What is left of an invocation's time for sending the answer.
const RESERVE: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config: Config = config::load()?;
    let s3 = &S3::new(config.s3);
    let documents = &Documents::new(config.database);
    // Connecting belongs to the initialization, where Lambda gives more CPU. Failing here must not stop the function:
    // the first batch tries again, and reports its messages for redelivery if that fails too.
    if let Err(error) = documents.prepare().await {
        tracing::warn!(
            error = %chain(&error),
            "starting without a database connection"
        );
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        handle(s3, documents, event.payload, deadline(&event.context))
            .await
            .map_err(Error::from)
    }))
    .await
}

fn deadline(context: &Context) -> Instant {
    let end = UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(RESERVE)
}
