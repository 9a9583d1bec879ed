//! Starts document-sync on Lambda.
use std::time::SystemTime;

use document_sync::{Config, Documents, Payload, handle, time_left};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::telemetry::{self, chain};
use shared::{config, database::Database, s3::S3};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config: Config = config::load()?;
    let s3 = &S3::new(config.s3);
    let documents = &Documents::new(Database::new(config.database));
    // Connecting belongs to the initialization, where Lambda gives more CPU. Failing here must not stop the function:
    // the first batch tries again, and reports its messages for redelivery if that fails too.
    if let Err(error) = documents.prepare().await {
        tracing::warn!(
            error = %chain(&error),
            "starting without a database connection"
        );
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        let deadline = Instant::now() + time_left(event.context.deadline, SystemTime::now());
        handle(s3, documents, event.payload, deadline)
            .await
            .map_err(Error::from)
    }))
    .await
}
