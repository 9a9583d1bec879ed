use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::function::{Failure, Function};

/// The longest that Lambda lets an invocation take.
const LONGEST: Duration = Duration::from_mins(15);
/// How long an invocation may go on once everything is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Pauses after which Lambda repeats an invocation that nobody waited for, and that failed.
const PAUSES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// Those of one function, until everything stops. Each holds a receiver of the stop until its end.
#[derive(Clone, Debug)]
pub(super) struct Invocations {
    pub(super) function: Arc<Function>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Invocations {
    /// Invokes the function once. A client that goes away does not end it, as on Lambda.
    pub(super) async fn once(&self, request_id: &str, payload: String) -> Result<Value, Failure> {
        let function = Arc::clone(&self.function);
        let stopping = self.stopping.clone();
        let request_id = request_id.to_owned();
        let task = tokio::spawn(async move {
            let deadline = Instant::now() + LONGEST;
            tokio::select! {
                answer = function.invoke(&request_id, &payload, deadline) => answer,
                () = cut_off(stopping) => Err(Failure {
                    kind: "Runtime.ExitError",
                    message: "the local stack stopped before the invocation had ended".to_owned(),
                }),
            }
        });
        match task.await {
            Ok(answer) => answer,
            Err(error) => Err(Failure {
                kind: "Runtime.ExitError",
                message: format!("the invocation ended without an answer: {error}"),
            }),
        }
    }

    /// Invokes the function while nobody waits, up to three times. It is kept in memory only: a stop forgets it.
    pub(super) async fn until_one_succeeds(self, request_id: String, payload: String) {
        until_one_succeeds(PAUSES, self.stopping.clone(), || async {
            self.once(&request_id, payload.clone()).await.map(drop)
        })
        .await;
    }
}

async fn until_one_succeeds<A: Future<Output = Result<(), Failure>>>(
    pauses: impl IntoIterator<Item = Duration>,
    mut stopping: watch::Receiver<bool>,
    mut attempt: impl FnMut() -> A,
) {
    let mut pauses = pauses.into_iter();
    while let Err(failure) = attempt().await {
        tracing::error!(error = %failure, "an invocation that nobody waits for failed");
        let Some(pause) = pauses.next() else { return };
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = sleep(pause) => {}
        }
    }
}

/// Ends a while after the stop was asked for.
async fn cut_off(mut stopping: watch::Receiver<bool>) {
    // An error means that nobody is left to wait for this.
    let _ = stopping.wait_for(|stopping| *stopping).await;
    sleep(GRACE).await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_is_tried_three_times_unless_it_succeeds_before() {
        for (failures, attempts) in [(0, 1), (1, 2), (2, 3), (9, 3)] {
            let (_stop, stopping) = watch::channel(false);
            assert_eq!(tries(failures, stopping, Duration::ZERO).await, attempts);
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_pause_before_the_next_try() {
        let (stop, stopping) = watch::channel(false);
        let (tries, ()) = tokio::join!(tries(9, stopping, LONGEST), async {
            stop.send_replace(true);
        });
        assert_eq!(tries, 1);
    }

    async fn tries(failures: u32, stopping: watch::Receiver<bool>, pause: Duration) -> u32 {
        let tries = Cell::new(0);
        until_one_succeeds([pause; PAUSES.len()], stopping, || {
            tries.set(tries.get() + 1);
            let failed = tries.get() <= failures;
            async move {
                let failure = Failure {
                    kind: "test",
                    message: "on purpose".to_owned(),
                };
                if failed { Err(failure) } else { Ok(()) }
            }
        })
        .await;
        tries.get()
    }
}
