//! Starts the function that keeps the registry's index in step on Lambda.
use std::time::SystemTime;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use registry::access::settings::Settings;
use registry::access::token::Key;
use registry::config::IndexConfig;
use registry::schedule::{Command, carry_out};
use registry::storage::Storage;
use shared::deadline::time_left;
use shared::{config, telemetry};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config: IndexConfig = config::load()?;
    telemetry::init_at(config.log_level);
    // Nobody is let in here, so nobody needs to know the key.
    let storage = &Storage::new(config.storage, Settings::public(Key::random()?));
    if storage.index().is_none() {
        return Err(
            "there is no index to keep: DATABASE_URL and DATABASE_SECRET_ARN are not set".into(),
        );
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Command>| {
        let deadline = Instant::now() + time_left(event.context.deadline, SystemTime::now());
        carry_out(storage, &event.payload, deadline)
            .await
            .map_err(Error::from)
    }))
    .await
}
