//! Many connections that ask at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::header;

use super::instance::{Instance, Served, check};
use super::requests::Request;
use crate::Failure;
use crate::connection::Connection;
use crate::figures::{percentile, rate};
use crate::process::Thread;

/// Who asks at the same time.
pub(super) const CONNECTIONS: usize = 64;
/// The first ones make the instance warm.
const FIRST: usize = 5;
const LONG: Duration = Duration::from_secs(2);

/// Answers per second, and what half and nineteen of twenty took at most, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) rate: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    /// Of the serving thread, in milliseconds for each answer; NaN where it is not known.
    pub(super) cpu: f64,
}

/// Does something again and again, so many at a time; each is given a number of its own.
pub(super) async fn repeat<W, T, F>(workers: Vec<W>, task: T) -> Result<Load, Failure>
where
    W: Send + 'static,
    T: Fn(W, usize) -> F + Clone + Send + 'static,
    F: Future<Output = Result<W, Failure>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let running: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let (next, task) = (Arc::clone(&next), task.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < LONG {
                    let sent = Instant::now();
                    worker = task(worker, next.fetch_add(1, Ordering::Relaxed)).await?;
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                Ok::<_, Failure>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for one in running {
        times.extend(one.await??);
    }
    Ok(Load {
        rate: rate(times.len(), started.elapsed()),
        p50: percentile(&times, 50),
        p95: percentile(&times, 95),
        cpu: f64::NAN,
    })
}

/// Asks an instance that is served, with the tokens of another one.
pub(super) async fn of_requests(
    instance: &Arc<Instance>,
    served: Served,
    request: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> Result<Load, Failure> {
    let task = task(Arc::clone(instance), request);
    let mut first = Connection::open(served.address).await?;
    for number in 0..FIRST {
        first = task(first, number).await?;
    }
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(served.address).await?);
    }
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    let cpu = || served.thread.and_then(Thread::cpu);
    let before = cpu();
    let load = repeat(connections, move |connection, number| {
        counted.fetch_add(1, Ordering::Relaxed);
        task(connection, FIRST + number)
    });
    let load = load.await?;
    let spent = before
        .zip(cpu())
        .map(|(before, after)| after.saturating_sub(before));
    let each = spent.map(|spent| 1e3 / rate(answers.load(Ordering::Relaxed), spent));
    Ok(Load {
        cpu: each.unwrap_or(f64::NAN),
        ..load
    })
}

/// Sends the request of a number, and makes sure that the answer is the right one.
fn task(
    instance: Arc<Instance>,
    request: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> impl Fn(Connection, usize) -> BoxFuture<'static, Result<Connection, Failure>> + Clone + Send + 'static
{
    move |mut connection, number| {
        let (instance, request) = (Arc::clone(&instance), request(number));
        Box::pin(async move {
            let sent = hyper::Request::builder()
                .method(request.method)
                .uri(&request.target)
                .header("x-authorization", instance.tokens().next()?)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Bytes::from(request.body.clone()))?;
            let answer = connection.ask(sent).await?;
            let status = answer.status().as_u16();
            let body = match answer.headers().get(header::LOCATION) {
                Some(location) if status == 302 => location.to_str()?.to_owned(),
                _ => String::from_utf8_lossy(answer.body()).into_owned(),
            };
            check(&request, status, &body)?;
            Ok(connection)
        })
    }
}
