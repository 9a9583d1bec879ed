//! The index behind HTTP, and the executable that keeps it in step.

use std::fs;
use std::path::Path;
use std::time::Duration;

use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::database::Url;
use shared::s3::S3;
use testkit::{Fault, Function, Postgres, Proxy, RuntimeApi};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::support::BUCKET;
use crate::support::client::{Client, access, body_of, request};
use crate::world::{World, foreign};

const BINARY: &str = env!("CARGO_BIN_EXE_registry-index");

/// The API with the stores that a deployment has, an admin of it and somebody else.
struct Api {
    client: Client,
    user: String,
}

async fn api(world: &World, url: &str) -> Api {
    let url: Url = url.parse().unwrap();
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        is_production: true,
        index: Some(url.into()),
        ..Chain::default()
    };
    let s3 = S3::with_client(world.store.client());
    let client = Client::of(Storage::with_s3(chain, access(), s3)).await;
    let permissions = ["upload", "search", "download"];
    let user = client.user("user", &permissions).await;
    Api { client, user }
}

/// Status and body of an answer.
async fn send(api: &Api, user: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let token = match user {
        "admin" => &api.client.admin,
        _ => &api.user,
    };
    let answer = api.client.answer(request(method, path, Some(token), body));
    let answer = answer.await;
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_slice(&body_of(answer).await).unwrap_or_default(),
    )
}

#[tokio::test]
async fn an_admin_has_the_index_compared_and_nobody_else() {
    let world = World::start().await;
    let api = api(&world, world.postgres.url()).await;
    world
        .put("1", &foreign("model", "a", "https://example.com/1", ""))
        .await;
    let (status, _) = send(&api, "user", "POST", "/index/rebuild", "").await;
    assert_eq!(status, 403);
    let (status, rebuilt) = send(&api, "admin", "POST", "/index/rebuild", "").await;
    assert_eq!(status, 200);
    assert_eq!(
        rebuilt,
        json!({
            "state": "finished", "dry_run": false, "listed": 1, "known": 0, "missing": 1, "different": 0,
            "surplus": 0, "written": 1, "claimed": 1, "failed": 0,
        })
    );
    let dry = r#"{"dry_run": true, "restart": true}"#;
    let (status, rebuilt) = send(&api, "admin", "POST", "/index/rebuild", dry).await;
    assert_eq!(
        (status, &rebuilt["known"], &rebuilt["missing"]),
        (200, &json!(1), &json!(0))
    );
    for body in [r#"{"dryrun": true}"#, "7", "{"] {
        let (status, _) = send(&api, "admin", "POST", "/index/rebuild", body).await;
        assert_eq!(status, 400, "{body}");
    }
    let everything = json!([{ "name": "*" }]).to_string();
    let (status, found) = send(&api, "user", "POST", "/artifacts", &everything).await;
    assert_eq!((status, found.as_array().unwrap().len()), (200, 1));
    let running =
        "update registry_rebuild set leased_until = current_timestamp + interval '1 minute'";
    world.sql.batch_execute(running).await.unwrap();
    let (status, rebuilt) = send(&api, "admin", "POST", "/index/rebuild", "").await;
    assert_eq!((status, &rebuilt["state"]), (202, &json!("running")));
}

#[tokio::test]
async fn a_registry_without_an_index_has_none_to_compare() {
    let client = Client::of(Storage::new(Chain::default(), access())).await;
    let (status, problem) = client.json("POST", "/index/rebuild", &json!({})).await;
    assert_eq!(
        (status, &problem["detail"]),
        (404, &json!("this registry has no index"))
    );
}

#[tokio::test]
async fn without_the_database_reading_by_id_goes_on_and_the_rest_is_asked_to_come_back() {
    let world = World::with(Postgres::start_own().await).await;
    let proxy = Proxy::start(world.postgres.address()).await;
    let api = api(&world, &world.postgres.url_through(proxy.address())).await;
    let registration = json!({ "url": "https://example.com/1" }).to_string();
    let (status, created) = send(&api, "user", "POST", "/artifact/model", &registration).await;
    assert_eq!(status, 201);
    let id = created["metadata"]["id"].as_str().unwrap();
    proxy.set(Fault::Refuse);
    proxy.cut();
    let (status, _) = send(&api, "user", "GET", &format!("/artifacts/model/{id}"), "").await;
    assert_eq!(status, 200);
    let health = async || {
        let (status, health) = send(&api, "", "GET", "/health/components", "").await;
        assert_eq!(status, 200);
        let component = &health["components"][1];
        assert_eq!(component["id"], "index");
        component["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(health().await, "critical");
    let another = json!({ "url": "https://example.com/2" }).to_string();
    for (method, path, body) in [
        ("POST", "/artifacts", r#"[{"name": "*"}]"#),
        ("GET", "/artifact/byName/1", ""),
        ("POST", "/artifact/byRegEx", r#"{"regex": "1"}"#),
        ("POST", "/artifact/model", &another),
        ("DELETE", &format!("/artifacts/model/{id}"), ""),
        ("DELETE", "/reset", ""),
    ] {
        let (status, problem) = send(&api, "admin", method, path, body).await;
        assert_eq!(status, 503, "{method} {path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("by their ids"), "{detail}");
    }
    assert_eq!(world.truth().await.len(), 1);
    proxy.set(Fault::Pass);
    sleep(Duration::from_millis(2_100)).await;
    let (status, found) = send(&api, "user", "GET", "/artifact/byName/1", "").await;
    assert_eq!((status, found.as_array().unwrap().len()), (200, 1));
    assert_eq!(health().await, "ok");
}

#[tokio::test]
async fn the_executable_does_what_a_schedule_sends() {
    let world = World::start().await;
    world
        .put("1", &foreign("model", "a", "https://example.com/1", ""))
        .await;
    let function = start(&world, BINARY, &[("DATABASE_URL", world.postgres.url())]).await;
    function.ready().await.unwrap();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/registry.schedule-index.json");
    let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let answer = function.invoke(&event).await.unwrap();
    assert_eq!(answer["tended"], json!({ "looked_after": 0, "purged": 0 }));
    assert_eq!(answer["rebuilt"]["state"], "finished");
    assert_eq!(answer["rebuilt"]["written"], 1);
    let answer = function.invoke(&event).await.unwrap();
    assert_eq!(answer["rebuilt"]["state"], "not_due");
    let error = function
        .invoke(&json!({ "rebuilt": {} }))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("unknown field `rebuilt`"),
        "{error}"
    );
    let instance = world.instance();
    assert_eq!(crate::world::all(&instance).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_executable_tells_cloudwatch_how_the_index_is() {
    let world = World::start().await;
    world
        .put("1", &foreign("model", "a", "https://example.com/1", ""))
        .await;
    let function = start(&world, BINARY, &[("DATABASE_URL", world.postgres.url())]).await;
    function.ready().await.unwrap();
    let event = json!({ "tend": true, "rebuild": {} });
    function.invoke(&event).await.unwrap();
    let late = "insert into registry_unsettled values
        ('1/', gen_random_uuid(), current_timestamp - interval '1 minute', current_timestamp - interval '1 minute')";
    world.sql.batch_execute(late).await.unwrap();
    function.invoke(&json!({ "tend": true })).await.unwrap();
    let running =
        "update registry_rebuild set leased_until = current_timestamp + interval '1 minute'";
    world.sql.batch_execute(running).await.unwrap();
    function.invoke(&json!({ "rebuild": {} })).await.unwrap();
    assert_eq!(values(&function, "IndexInStep", 2).await, [1.0, 0.0]);
    assert_eq!(values(&function, "IndexRowsRebuilt", 1).await, [1.0]);
    assert_eq!(values(&function, "IndexRowsFailed", 1).await, [0.0]);
    assert!(values(&function, "IndexRebuildDuration", 1).await[0] > 0.0);
    assert_eq!(values(&function, "IndexChangesHealed", 1).await, [1.0]);
    // Before the comparison, after it, and with the change that waits for a minute.
    let lag = values(&function, "IndexLag", 3).await;
    assert_eq!(lag[..2], [0.0, 0.0]);
    assert!(lag[2] >= 60_000.0, "{lag:?}");
}

/// The values of a metric so far, once there are as many: what is written is read a moment later.
pub(crate) async fn values(function: &Function, name: &str, count: usize) -> Vec<f64> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = function.stdout();
        let lines = log.lines().map(serde_json::from_str::<Value>);
        let values: Vec<f64> = lines
            .filter_map(|line| line.ok().filter(|line| line["_aws"].is_object())?[name].as_f64())
            .collect();
        if values.len() >= count {
            return values;
        }
        assert!(Instant::now() < deadline, "no {count} of {name}: {log}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_executable_says_that_it_needs_a_database() {
    let world = World::start().await;
    let function = start(&world, BINARY, &[]).await;
    assert!(!function.exit_status().await.success());
    let said = format!("{}{}", function.stdout(), function.stderr());
    assert!(
        said.contains("DATABASE_URL and DATABASE_SECRET_ARN are not set"),
        "{said}"
    );
}

pub(crate) async fn start(world: &World, binary: &str, variables: &[(&str, &str)]) -> Function {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = world.store.clone();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    let mut all = vec![
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
        ("S3_BUCKET_NAME", BUCKET),
    ];
    all.extend(variables);
    RuntimeApi::start().await.run(binary, &all)
}
