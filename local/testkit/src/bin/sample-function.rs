//! A Lambda function that does as the event says: the testkit tries itself on it.
use std::{
    env, io,
    io::Write,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if env::var_os("REFUSE_TO_START").is_some() {
        return Err("refused to start".into());
    }
    let invocations = AtomicU32::new(0);
    let invocations = &invocations;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        obey(event, invocations.fetch_add(1, Ordering::Relaxed) + 1).await
    }))
    .await
}

async fn obey(event: LambdaEvent<Value>, invocation: u32) -> Result<Value, Error> {
    match event.payload.get("do").and_then(Value::as_str) {
        Some("fail") => Err("failed as told".into()),
        Some("end") => process::exit(7),
        Some("write") => {
            writeln!(io::stdout(), "on standard output")?;
            writeln!(io::stderr(), "on standard error")?;
            Ok(Value::Null)
        }
        Some("hang") => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            Ok(Value::Null)
        }
        _ => {
            let remaining = event.context.deadline().duration_since(SystemTime::now())?;
            Ok(json!({
                "event": event.payload,
                "invocation": invocation,
                "process": process::id(),
                "request_id": event.context.request_id,
                "remaining_seconds": remaining.as_secs(),
                "variables": env::vars().map(|(name, _)| name).collect::<Vec<_>>(),
            }))
        }
    }
}
