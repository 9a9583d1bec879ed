//! Starts the registry on Lambda.
use std::time::Duration;

use registry::Config;
use registry::http::router_at;
use registry::ingest::Ingest;
use registry::storage::Storage;
use shared::config;
use shared::telemetry::{self, chain};
use tokio::time::timeout;

/// What the initialization may spend on the store, of the ten seconds that Lambda gives it.
const PREPARATION: Duration = Duration::from_secs(7);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config: Config = config::load()?;
    telemetry::init_at(config.log_level);
    // Without it nobody could be let in: Lambda starts the function again for the next request.
    let access = config.access.settings().await;
    let access = access.map_err(|error| chain(&error).to_string())?;
    let ingest = Ingest::new(&config.ingest);
    let storage = Storage::new(config.storage, access).asking(ingest);
    // Connecting belongs to the initialization, where Lambda gives more CPU. Failing here must not stop the function:
    // it is tried again by the first request, and the log has the reason.
    let index = async {
        if let Some(index) = storage.index()
            && let Err(error) = index.prepare().await
        {
            tracing::warn!(error = %chain(&error), "starting without an index");
        }
    };
    let (store, index) = tokio::join!(
        timeout(PREPARATION, storage.backend()),
        timeout(PREPARATION, index)
    );
    if !matches!(store, Ok(Ok(_))) {
        tracing::warn!("starting without a store");
    }
    if index.is_err() {
        tracing::warn!("starting without an index: it takes too long");
    }
    lambda_http::run(router_at(storage, config.public_url)).await
}
