//! Start-up: from the start of a process to its first poll for events and, of the registry, to its first answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Function, RuntimeApi};

use crate::Failure;
use crate::figures::{if_measured, megabytes, milliseconds, percentile};
use crate::lambda::{SETTLED, connect, document_sync, idle, process};
use crate::machine::executable;
use crate::process::Process;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use crate::tls::TlsFront;

const STARTS: usize = 40;
const BUCKET: &str = "artifacts";
const PASSWORD: &str = "the password of the bench";
const ARTIFACT: &str = "1000000001";

/// What is started.
enum Subject<'a> {
    Floor,
    DocumentSync {
        url: &'a str,
        connects: bool,
    },
    Registry {
        endpoint: String,
        url: Option<&'a str>,
    },
}

/// What was measured of one.
#[derive(Default)]
struct Figures {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
    resident: Vec<f64>,
    peak: Vec<f64>,
    /// From the start of the process to the end of its first answer, but for the pause between poll and event.
    answered: Vec<Duration>,
    /// What the process waits for: a bare connection to the same server, and a query.
    connection: Vec<Duration>,
}

/// All in turn, with bare connections to the same servers: a process that is ready waits for its server to start a
/// session, and that is the server's time.
pub(crate) async fn run(
    urls: &[String; 3],
    store: &Server,
    front: &TlsFront,
) -> Result<(), Failure> {
    let sync = |index: usize| Subject::DocumentSync {
        url: &urls[index],
        connects: index > 0,
    };
    let plain = format!("http://{}", store.address);
    let registry = |endpoint: &String, url| Subject::Registry {
        endpoint: endpoint.clone(),
        url,
    };
    let tcp = Some(urls[2].as_str());
    let subjects = [
        ("floor", Subject::Floor),
        ("document-sync: connection refused", sync(0)),
        ("document-sync: PostgreSQL, Unix socket", sync(1)),
        ("document-sync: PostgreSQL, TCP, SCRAM", sync(2)),
        ("registry: S3", registry(&plain, None)),
        ("registry: S3 over TLS", registry(&front.endpoint, None)),
        (
            "registry: S3, PostgreSQL over TCP, SCRAM",
            registry(&plain, tcp),
        ),
        (
            "registry: both, S3 over TLS",
            registry(&front.endpoint, tcp),
        ),
    ];
    let event = registered(store, front).await?;
    let mut all: [Figures; 8] = Default::default();
    for round in 0..=STARTS {
        for ((name, subject), figures) in subjects.iter().zip(&mut all) {
            let function = subject.start(front).await?;
            let wall = function.ready().await?;
            tokio::time::sleep(SETTLED).await;
            if subject.is_without(&function) {
                return Err(format!("{name}: {}", function.stdout()).into());
            }
            let process = process(&function);
            let (cpu, resident) = (
                process.and_then(Process::cpu),
                process.and_then(Process::resident_bytes),
            );
            let answered = match subject {
                Subject::Registry { .. } => Some(wall + first_answer(&function, &event).await?),
                _ => None,
            };
            // The first start also makes the tables, and reads the file into memory.
            if round > 0 {
                figures.wall.push(wall);
                figures.cpu.extend(cpu);
                figures.resident.extend(resident.map(megabytes));
                let peak = process.and_then(Process::peak_bytes);
                figures.peak.extend(peak.map(megabytes));
                figures.answered.extend(answered);
                if let Some(url) = subject.database() {
                    let started = Instant::now();
                    connect(url).await?.query_typed("select 1", &[]).await?;
                    figures.connection.push(started.elapsed());
                }
            }
            function.kill().await;
        }
    }
    print(&subjects, &all);
    Ok(())
}

fn print(subjects: &[(&str, Subject<'_>)], all: &[Figures]) {
    println!(
        "\n{:>44} {:>8} {:>8} {:>8} {:>8} {:>8} | {:>8} {:>8}",
        format!("start-up, exec to first poll, {STARTS} each"),
        "p10 ms",
        "p50 ms",
        "CPU ms",
        "MB",
        "peak MB",
        "answer",
        "bare"
    );
    for ((name, _), figures) in subjects.iter().zip(all) {
        let wall = milliseconds(&figures.wall);
        let or_nothing = |times: &[Duration]| match times {
            [] => String::new(),
            times => format!("{:.2}", percentile(&milliseconds(times), 50)),
        };
        println!(
            "{name:>44} {:>8.2} {:>8.2} {:>8} {:>8} {:>8} | {:>8} {:>8}",
            percentile(&wall, 10),
            percentile(&wall, 50),
            if_measured(&milliseconds(&figures.cpu)),
            if_measured(&figures.resident),
            if_measured(&figures.peak),
            or_nothing(&figures.answered),
            or_nothing(&figures.connection),
        );
    }
    println!(
        "answer: exec to the answer of a first request, one artifact by its id; bare: a connection to the same server\n\
         and a query. MB at the first poll, at most with the answer.\n\
         targets: document-sync <= 10 ms and <= 15 MB, the registry <= 12 ms and <= 20 MB\n"
    );
}

impl Subject<'_> {
    async fn start(&self, front: &TlsFront) -> Result<Function, Failure> {
        match self {
            Self::Floor => idle().await,
            Self::DocumentSync { url, .. } => document_sync(url, None).await,
            Self::Registry { endpoint, url } => start_registry(front, endpoint, *url).await,
        }
    }

    /// Whether it has started without what it was to have.
    fn is_without(&self, function: &Function) -> bool {
        let log = function.stdout();
        match self {
            Self::DocumentSync { connects: true, .. } => log.contains("without a database"),
            Self::Registry { .. } => log.contains("starting without"),
            _ => false,
        }
    }

    fn database(&self) -> Option<&str> {
        match self {
            Self::DocumentSync {
                url,
                connects: true,
            } => Some(url),
            Self::Registry { url, .. } => *url,
            _ => None,
        }
    }
}

/// With the variables that Lambda and the template set. Of an endpoint that is not Amazon's the registry reads the roots
/// that this machine trusts, which Amazon's endpoints do without; one that vouches for `front` costs next to nothing.
async fn start_registry(
    front: &TlsFront,
    endpoint: &str,
    url: Option<&str>,
) -> Result<Function, Failure> {
    let certificate = front.certificate.to_string_lossy();
    let mut variables = vec![
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("SSL_CERT_FILE", &certificate),
        ("S3_BUCKET_NAME", BUCKET),
        ("ADMIN_PASSWORD", PASSWORD),
        (
            "JWT_SECRET_KEY",
            "a key of the bench, of many more than 32 bytes",
        ),
    ];
    variables.extend(url.map(|url| ("DATABASE_URL", url)));
    Ok(RuntimeApi::start()
        .await
        .run(executable("registry")?, &variables))
}

/// Puts an artifact into the bucket, and gives the event by which an admin reads it.
async fn registered(store: &Server, front: &TlsFront) -> Result<Value, Failure> {
    store.client.create_bucket().bucket(BUCKET).send().await?;
    let record = json!({
        "metadata": { "id": ARTIFACT, "name": "one", "type": "model" },
        "data": { "url": "https://example.com/one" },
    });
    let put = store.client.put_object().bucket(BUCKET);
    let put = put.key(format!("artifacts/{ARTIFACT}/metadata.json"));
    put.body(record.to_string().into_bytes().into())
        .send()
        .await?;
    let function = start_registry(front, &front.endpoint, None).await?;
    function.ready().await?;
    let login = json!({
        "user": { "name": "ece30861defaultadminuser", "is_admin": true },
        "secret": { "password": PASSWORD },
    });
    let event = event("PUT", "/authenticate", "", &login.to_string());
    let answer = function.invoke(&event).await?;
    function.kill().await;
    let body = answer["body"].as_str().unwrap_or_default();
    let token: String =
        serde_json::from_str(body).map_err(|_no_token| format!("no token: {answer}"))?;
    Ok(self::event(
        "GET",
        &format!("/artifacts/model/{ARTIFACT}"),
        &token,
        "",
    ))
}

async fn first_answer(function: &Function, event: &Value) -> Result<Duration, Failure> {
    let started = Instant::now();
    let answer = function.invoke(event).await?;
    if answer["statusCode"] == 200 {
        Ok(started.elapsed())
    } else {
        Err(format!("{answer}: {}", function.stdout()).into())
    }
}

/// As API Gateway sends it, for HTTP APIs.
fn event(method: &str, path: &str, token: &str, body: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "bench.example",
            "x-authorization": token,
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "bench",
            },
            "requestId": "KqB8WgVQoAMEMqA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:06:30:00 +0000",
            "timeEpoch": 1_795_242_600_000_i64,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
