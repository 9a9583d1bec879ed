//! Starts document-loader on Lambda, or, as a process that it starts itself, reads one document.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use document_loader::extract::child;
use document_loader::{Config, DocumentLoader, Payload};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::config;
use shared::deadline::time_left;
use shared::telemetry::{self, chain};
use tokio::time::{Instant, timeout};

/// What the initialization may spend on the database, of the ten seconds that Lambda gives it.
const PREPARATION: Duration = Duration::from_secs(7);

fn main() -> Result<ExitCode, Error> {
    if let Some(code) = child::run(std::env::args_os().skip(1)) {
        return Ok(code);
    }
    serve()?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> Result<(), Error> {
    telemetry::init();
    let config: Config = config::load()?;
    let loader = &DocumentLoader::new(config);
    // As in document-sync: connecting belongs to the initialization, and failing here must not stop the function.
    match timeout(PREPARATION, loader.queue.prepare()).await {
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
        loader
            .handle(&event.payload, deadline)
            .await
            .map_err(Error::from)
    }))
    .await
}
