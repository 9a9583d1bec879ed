//! Starts everything on this machine, until SIGINT or SIGTERM.
use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use document_loader::extract::child;
use shared::{config, telemetry::chain};
use stack::{Config, Error, Stack};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // document-loader has documents read by processes, which are this program again.
    match child::run(std::env::args_os().skip(1)) {
        Some(code) => code,
        None => serve(),
    }
}

#[tokio::main]
async fn serve() -> ExitCode {
    // Of what clients do wrong, s3s makes errors of ours; what fails here, the store says itself.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,s3s=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(stderr(), "error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let config: Config = config::load()?;
    let stack = tokio::select! {
        started = Stack::start(config) => started?,
        () = either(&mut interrupt, &mut terminate) => return Ok(()), // what had started is dropped, which stops it
    };
    // Whoever closed standard output does not want to read it.
    let _ = stdout().write_all(stack.welcome().as_bytes());
    let stopping = stack
        .run_until(either(&mut interrupt, &mut terminate))
        .await?;
    tracing::info!("stopping");
    tokio::select! {
        () = stopping.stop() => {}
        () = either(&mut interrupt, &mut terminate) => tracing::warn!("stopping without waiting for open requests"),
    }
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
