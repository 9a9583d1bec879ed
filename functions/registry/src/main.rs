//! Starts the registry on Lambda.
use std::time::Duration;

use registry::Config;
use registry::http::{Gate, router};
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
    let storage = Storage::new(config.storage);
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
        timeout(PREPARATION, storage.registry()),
        timeout(PREPARATION, index)
    );
    if !matches!(store, Ok(Ok(_))) {
        tracing::warn!("starting without a store");
    }
    if index.is_err() {
        tracing::warn!("starting without an index: it takes too long");
    }
    // Nobody is let in until there are users.
    lambda_http::run(router(storage, Gate::closed())).await
}
