//! Starts the function that verifies the registry's audit trail on Lambda.
use std::time::SystemTime;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use registry::config::AuditConfig;
use registry::storage::Storage;
use registry::watch::{Order, carry_out};
use shared::config;
use shared::deadline::time_left;
use shared::telemetry::{self, chain};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config: AuditConfig = config::load()?;
    telemetry::init_at(config.log_level);
    let access = config.access.settings().await;
    // Whose tokens would let into other services is not of interest here.
    let (access, _tokens) = access.map_err(|error| chain(&error).to_string())?;
    let storage = &Storage::new(config.storage, access);
    if storage.index().is_none() {
        return Err(
            "there is nowhere to note what was verified: DATABASE_URL and DATABASE_SECRET_ARN are not set".into(),
        );
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Order>| {
        let deadline = Instant::now() + time_left(event.context.deadline, SystemTime::now());
        carry_out(storage, &event.payload, deadline)
            .await
            .map_err(Error::from)
    }))
    .await
}
