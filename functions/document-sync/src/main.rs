//! Starts document-sync on Lambda.
use std::time::{Duration, SystemTime};

use document_sync::{Config, DocumentSync, Payload};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::config;
use shared::deadline::time_left;
use shared::telemetry::{self, chain};
use tokio::time::{Instant, timeout};

/// What the initialization may spend on the database, of the ten seconds that Lambda gives it.
const PREPARATION: Duration = Duration::from_secs(7);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config: Config = config::load()?;
    let sync = &DocumentSync::new(config);
    // Connecting belongs to the initialization, where Lambda gives more CPU. Failing here must not stop the function:
    // the first batch tries again, and reports its messages for redelivery if that fails too. Nor must waiting, for
    // a database that is being woken: Lambda starts over what has not begun to ask for work after ten seconds.
    match timeout(PREPARATION, sync.documents.prepare()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "starting without a database connection");
        }
        Err(_elapsed) => {
            tracing::warn!("starting without a database connection: it takes too long");
        }
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        let deadline = Instant::now() + time_left(event.context.deadline, SystemTime::now());
        sync.handle(&event.payload, &event.context.request_id, deadline)
            .await
            .map_err(Error::from)
    }))
    .await
}
