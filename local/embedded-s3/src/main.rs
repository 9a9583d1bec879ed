//! Serves an embedded S3 (and IAM and STS) on a TCP port until SIGINT or SIGTERM.
use std::io::Write as _;
use std::process::ExitCode;

use embedded_s3::EmbeddedS3;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

mod arguments;

use arguments::Arguments;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where even the complaint cannot be written.
            drop(writeln!(
                std::io::stderr(),
                "embedded-s3: {}",
                chain(&*error)
            ));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let arguments = Arguments::read(std::env::args().skip(1), |name| std::env::var(name).ok())?;
    let store = EmbeddedS3::open(arguments.options).await?;
    for (bucket, queue) in &arguments.notify {
        store.create_bucket(bucket, false).await?;
        let events = [
            "s3:ObjectCreated:*",
            "s3:ObjectRemoved:*",
            "s3:LifecycleExpiration:*",
        ];
        store.notify_queue(bucket, queue, &events).await?;
    }
    let listener = TcpListener::bind(&arguments.address)
        .await
        .map_err(|error| format!("the address {} cannot be used: {error}", arguments.address))?;
    writeln!(
        std::io::stdout(),
        "embedded-s3 is ready on http://{}",
        listener.local_addr()?
    )?;
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    store.serve(listener, stop).await?;
    store.close().await;
    Ok(())
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
