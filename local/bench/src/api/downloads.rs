//! A hundred clients that get one large file at the same time: the registry shows each the way, S3 gives the bytes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::artifacts::{Mould, id};
use super::calls::Calls;
use super::filling::fill_bucket;
use super::instance::{Instance, check, serve};
use super::operations::told;
use super::requests::Operation;
use crate::Failure;
use crate::connection::Connection;
use crate::figures::{median, megabytes, milliseconds, percentile};
use crate::server::Server;

const BUCKET: &str = "large";
const NUMBER: usize = 11;
const BYTES: usize = 25_000_000;
const CLIENTS: usize = 100;
const ROUNDS: usize = 3;

/// Measures the downloads, and the same without the registry.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    let server = Server::start(&folder.join("large")).await?;
    let mould = Mould::cast().await?;
    fill_bucket(&server.client, BUCKET, &mould, NUMBER).await?;
    let key = format!("artifacts/{}/files/model.safetensors", id(NUMBER));
    let bytes: Vec<u8> = (0..BYTES)
        .map(|index| u8::try_from((index * 31 + index / 251) % 256))
        .collect::<Result<_, _>>()?;
    let put = server.client.put_object().bucket(BUCKET).key(&key);
    put.body(bytes.into()).send().await?;
    let calls = Calls::default();
    let client = calls.client(server.address, Duration::ZERO);
    let instance = Arc::new(Instance::start(client, BUCKET, None).await?);
    let front = serve(calls.client(server.address, Duration::ZERO), BUCKET, None).await?;
    let place = server.get_target(BUCKET, &key).await?;
    println!(
        "{CLIENTS} downloads at a time of one file of {:.0} MB: a redirect of the registry, then the embedded S3 over TCP;\n\
         floor = the same from S3 at once. Best of {ROUNDS}.\n",
        megabytes(u64::try_from(BYTES)?)
    );
    println!(
        "{:>14} {:>8} {:>10} {:>10} | {:>15} {:>15} {:>15}",
        "", "MB/s", "p50 ms", "p99 ms", "redirect p50 ms", "redirect p99 ms", "share of time"
    );
    // The trail's end is found once, and connections are made.
    redirect(&instance, &mut Connection::open(front.address).await?).await?;
    for (name, through) in [("floor", false), ("registry", true)] {
        let mut best: Option<Round> = None;
        for _ in 0..ROUNDS {
            calls.take();
            let way = through.then(|| (Arc::clone(&instance), front.address));
            let round = round(way, server.address, &place).await?;
            if best.as_ref().is_none_or(|best| round.took < best.took) {
                best = Some(round);
            }
        }
        let best = best.ok_or("there are rounds")?;
        let rate = megabytes(u64::try_from(BYTES * CLIENTS)?) / best.took.as_secs_f64();
        let (whole, redirects) = (milliseconds(&best.whole), milliseconds(&best.redirects));
        print!(
            "{name:>14} {rate:>8.0} {:>10.0} {:>10.0} |",
            median(&whole),
            percentile(&whole, 99)
        );
        if through {
            let share = redirects.iter().sum::<f64>() / whole.iter().sum::<f64>();
            print!(
                " {:>15.1} {:>15.1} {:>14.1}%",
                median(&redirects),
                percentile(&redirects, 99),
                share * 100.0
            );
        }
        println!();
    }
    println!(
        "calls of S3 by the registry for {CLIENTS} redirects: {}\n",
        told(&calls.take())
    );
    Ok(())
}

struct Round {
    took: Duration,
    whole: Vec<Duration>,
    redirects: Vec<Duration>,
}

async fn round(
    way: Option<(Arc<Instance>, SocketAddr)>,
    s3: SocketAddr,
    place: &str,
) -> Result<Round, Failure> {
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (way, place) = (way.clone(), place.to_owned());
            tokio::spawn(async move {
                let started = Instant::now();
                let place = match way {
                    None => place,
                    Some((instance, address)) => {
                        let mut connection = Connection::open(address).await?;
                        redirect(&instance, &mut connection).await?
                    }
                };
                let redirected = started.elapsed();
                let got = Connection::open(s3).await?.get(&place).await?;
                if got != u64::try_from(BYTES)? {
                    return Err(Failure::from(format!("{got} bytes came")));
                }
                Ok((started.elapsed(), redirected))
            })
        })
        .collect();
    let (mut whole, mut redirects) = (Vec::new(), Vec::new());
    for client in clients {
        let (took, redirected) = client.await??;
        whole.push(took);
        redirects.push(redirected);
    }
    Ok(Round {
        took: started.elapsed(),
        whole,
        redirects,
    })
}

/// Where the registry sends who asks, as a path and a query of S3.
async fn redirect(instance: &Instance, connection: &mut Connection) -> Result<String, Failure> {
    let request = Operation::Download.request(NUMBER, NUMBER, "");
    let sent = hyper::Request::builder()
        .method(request.method)
        .uri(&request.target)
        .header("x-authorization", instance.tokens().next()?);
    let answer = connection.ask(sent.body(bytes::Bytes::new())?).await?;
    let location = answer.headers().get(hyper::header::LOCATION);
    let location = location
        .map(|location| location.to_str())
        .transpose()?
        .unwrap_or_default();
    check(&request, answer.status().as_u16(), location)?;
    let uri: hyper::Uri = location.parse()?;
    Ok(uri.path_and_query().ok_or("a place in S3")?.to_string())
}
