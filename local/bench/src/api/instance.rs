//! One instance of the registry, asked without a network or over one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header;
use lambda_http::tower::ServiceExt as _;
use registry::access::settings::Settings;
use registry::access::token::Key;
use registry::http::router;
use registry::storage::{Chain, Storage};
use serde_json::json;
use shared::database::{self, Url};
use shared::s3::S3;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::requests::Request;
use crate::Failure;
use crate::process::Thread;

/// The admin whom every client of the contract knows.
const NAME: &str = "ece30861defaultadminuser";
const PASSWORD: &str = "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;";
const KEY: [u8; 32] = [7; 32];
/// Calls that a token is used for, of the thousand that it is good for.
const CALLS: usize = 900;
const TOKENS: usize = 64;

/// The registry's router on a bucket, and an index where there is a database.
#[derive(Debug)]
pub(super) struct Instance {
    router: Router,
    tokens: Tokens,
}

/// Tokens of the admin, each with the calls that are left of it.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: Settings,
    generation: String,
    left: Mutex<VecDeque<(String, usize)>>,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) took: Duration,
    pub(super) body: String,
}

impl Instance {
    /// A new instance, which knows nothing yet.
    pub(super) async fn start(
        client: aws_sdk_s3::Client,
        bucket: &str,
        database: Option<&str>,
    ) -> Result<Self, Failure> {
        let (router, settings) = open(client, bucket, database).await?;
        let tokens = Tokens::new(&router, settings).await?;
        Ok(Self { router, tokens })
    }

    /// The answer to a request, which must be the right one.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answered, Failure> {
        let sent = http(request, &self.tokens.next()?)?;
        let started = Instant::now();
        let answer = self.router.clone().oneshot(sent).await?;
        let status = answer.status().as_u16();
        let location = answer.headers().get(header::LOCATION).cloned();
        let body = to_bytes(answer.into_body(), usize::MAX).await?;
        let took = started.elapsed();
        let mut body = String::from_utf8(body.to_vec())?;
        if status == 302 {
            let place = location.ok_or("a redirect leads somewhere")?;
            place.to_str()?.clone_into(&mut body);
        }
        check(request, status, &body)?;
        Ok(Answered { took, body })
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

/// Where an instance is served, and by which thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) thread: Option<Thread>,
}

/// Another instance, on a port of 127.0.0.1 and with one thread for all it does, as the function has. It ends with the
/// process.
pub(super) async fn serve(
    client: aws_sdk_s3::Client,
    bucket: &str,
    database: Option<&str>,
) -> Result<Served, Failure> {
    let (bucket, database) = (bucket.to_owned(), database.map(ToOwned::to_owned));
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let opened = async {
                let (router, _) = open(client, &bucket, database.as_deref()).await?;
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let served = Served {
                    address: listener.local_addr()?,
                    thread: Thread::current(),
                };
                Ok::<_, Failure>((router, served, listener))
            };
            match opened.await {
                Ok((router, served, listener)) => {
                    // Whoever waits for it measures, and does not go away.
                    let _told = tell.send(Ok(served));
                    axum::serve(listener, router).await
                }
                Err(failure) => {
                    let _told = tell.send(Err(failure));
                    Ok(())
                }
            }
        })
    });
    told.await?
}

async fn open(
    client: aws_sdk_s3::Client,
    bucket: &str,
    database: Option<&str>,
) -> Result<(Router, Settings), Failure> {
    let settings = Settings::public(Key::new(&KEY)?);
    let index: Option<database::Settings> = match database {
        Some(url) => Some(url.parse::<Url>()?.into()),
        None => None,
    };
    let chain = Chain {
        bucket: Some(bucket.to_owned()),
        is_production: true,
        index,
        ..Chain::default()
    };
    let storage = Storage::with_s3(chain, settings.clone(), S3::with_client(client));
    storage.backend().await?;
    if let Some(index) = storage.index() {
        index.prepare().await?;
    }
    Ok((router(storage), settings))
}

impl Tokens {
    async fn new(router: &Router, settings: Settings) -> Result<Self, Failure> {
        let body = json!({ "user": { "name": NAME, "is_admin": true }, "secret": { "password": PASSWORD } });
        let login = axum::http::Request::put("/authenticate")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))?;
        let answer = router.clone().oneshot(login).await?;
        let body = to_bytes(answer.into_body(), usize::MAX).await?;
        let token: String = serde_json::from_slice(&body)?;
        let (claims, _) = settings.keys.check(&token, OffsetDateTime::now_utc())?;
        Ok(Self {
            generation: claims.generation,
            settings,
            left: Mutex::default(),
        })
    }

    /// One that is good for another call. Many take turns, as many clients have one each: calls of the same token wait
    /// for each other.
    pub(super) fn next(&self) -> Result<String, Failure> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while left.len() < TOKENS {
            let now = OffsetDateTime::now_utc();
            let token = self.settings.keys.issue(NAME, &self.generation, now)?;
            left.push_back((token.as_str().to_owned(), CALLS));
        }
        let (token, calls) = left.pop_front().ok_or("there are tokens")?;
        if calls > 1 {
            left.push_back((token.clone(), calls - 1));
        }
        Ok(token)
    }
}

fn http(request: &Request, token: &str) -> Result<axum::http::Request<Body>, Failure> {
    let sent = axum::http::Request::builder()
        .method(request.method)
        .uri(&request.target)
        .header("x-authorization", token)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::HOST, "bench.example");
    Ok(sent.body(Body::from(request.body.clone()))?)
}

/// An answer that is not the right one ends the benchmark.
pub(super) fn check(request: &Request, status: u16, body: &str) -> Result<(), Failure> {
    if status == request.status && body.contains(&request.expected) {
        Ok(())
    } else {
        let (method, target) = (request.method, &request.target);
        let body: String = body.chars().take(500).collect();
        Err(format!("{method} {target} {}: {status} {body}", request.body).into())
    }
}
