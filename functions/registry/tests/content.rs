//! What artifacts hold, as clients of HTTP send and get it: the API shows the way, and S3 does the rest.

mod support;
#[path = "support/web.rs"]
mod web;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use embedded_s3::{Fault, Target};
use futures_util::future::join_all;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::s3::Settings;
use support::BUCKET;
use support::client::{Client, access};
use web::{pattern, start};

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn files_go_straight_to_s3_and_back() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    let path = format!("{artifact}/files/weights/model.bin");
    let body = pattern(300_000, 1);
    let shown = world.send("PUT", &path, &[], body.clone()).await;
    assert_eq!(shown.status, 307);
    // Nothing is asked of S3 that was not asked for.
    assert!(!shown.location().contains("checksum"));
    assert_eq!(shown.header("cache-control"), "no-store");
    assert_eq!(
        shown.place(),
        format!("/{BUCKET}/artifacts/{id}/files/weights/model.bin")
    );
    assert_eq!(
        world.follow("PUT", &path, &[], body.clone()).await.status,
        200
    );

    let shown = world.send("GET", &path, &[], "").await;
    assert_eq!((shown.status.as_u16(), shown.body.len()), (302, 0));
    let got = world.follow("GET", &path, &[], "").await;
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &body[..]));
    assert_eq!(
        got.header("content-disposition"),
        "attachment; filename=\"model.bin\"; filename*=UTF-8''model.bin"
    );
    let part = world
        .follow("GET", &path, &[("range", "bytes=10-19")], "")
        .await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &body[10..20]));
    assert_eq!(part.header("content-range"), "bytes 10-19/300000");
    let head = world.follow("HEAD", &path, &[], "").await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "300000")
    );
    assert_eq!(
        head.header("content-disposition"),
        got.header("content-disposition")
    );
    let etag = got.header("etag");
    let known = world
        .follow("GET", &path, &[("if-none-match", etag)], "")
        .await;
    assert_eq!(known.status, 304);

    assert_eq!(world.send("DELETE", &path, &[], "").await.status, 204);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(world.send(method, &path, &[], "").await.status, 404);
    }
    assert!(world.files(&artifact).await.is_empty());
}

#[tokio::test]
async fn a_signed_address_is_for_one_file_and_one_method() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    world.put(&artifact, "a", "first").await;
    let place = format!("{artifact}/files/a");
    let shown = world.send("GET", &place, &[], "").await;
    let address = shown.location();
    assert_eq!(world.send("GET", address, &[], "").await.status, 200);
    for (method, address) in [
        ("PUT", address.to_owned()),
        ("DELETE", address.to_owned()),
        ("HEAD", address.to_owned()),
        (
            "GET",
            address.replace("/files/a?", &format!("/../{id}/metadata.json?")),
        ),
        ("GET", address.replace("/files/a?", "/metadata.json?")),
        ("GET", address.replace("attachment", "inline")),
    ] {
        let refused = world.send(method, &address, &[], "x").await;
        assert_eq!(refused.status, 403, "{method} {address}");
    }
    assert_eq!(world.follow("GET", &place, &[], "").await.text(), "first");
}

#[tokio::test]
async fn s3_takes_only_what_has_the_sha256_that_was_told() {
    let world = start().await;
    let (artifact, _) = world.artifact("dataset", "texts").await;
    let place = format!("{artifact}/files/a.csv");
    let (good, bad) = (base64(b"hello"), base64(b"other"));
    let checksum = "x-amz-checksum-sha256";
    let refused = world
        .follow("PUT", &place, &[(checksum, &bad)], "hello")
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("BadDigest"), "{}", refused.text());
    assert!(world.files(&artifact).await.is_empty());
    assert_eq!(world.send("GET", &place, &[], "").await.status, 404);

    let taken = world
        .follow("PUT", &place, &[(checksum, &good)], "hello")
        .await;
    assert_eq!(taken.status, 200);
    let files = world.files(&artifact).await;
    assert_eq!(files[0]["sha256"], hex(b"hello"));
    assert_eq!(
        files[0]["checksum"],
        json!({ "algorithm": "SHA256", "value": good, "type": "FULL_OBJECT" })
    );

    // A redirected request does not carry what came otherwise, so S3 would look at nothing.
    let field = format!("sha-256=:{good}:");
    for (place, headers) in [
        (format!("{place}?sha256={}", hex(b"hello")), &[][..]),
        (place.clone(), &[("repr-digest", field.as_str())]),
        (place.clone(), &[("content-digest", field.as_str())]),
    ] {
        let explained = world.send("PUT", &place, headers, "hello").await;
        assert_eq!(explained.status, 400);
        let detail = explained.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("{checksum}: {good}")), "{detail}");
        // Whoever takes the address itself is told what to send with it.
        for (method, accept) in [("POST", "*/*"), ("PUT", "application/json")] {
            let headers = [headers, &[("accept", accept)]].concat();
            let told = world.send(method, &place, &headers, "").await;
            assert_eq!(told.status, 200);
            assert_eq!(told.json()["headers"], json!({ checksum: good }));
        }
    }
    for headers in [
        &[
            (checksum, good.as_str()),
            ("repr-digest", &field.replace(&good, &bad)),
        ][..],
        &[(checksum, "AAAA")],
        &[(checksum, "ü")],
        &[("repr-digest", "sha-256=:AAAA:")],
    ] {
        let refused = world.send("PUT", &place, headers, "hello").await;
        assert_eq!(refused.status, 400, "{headers:?}");
    }
}

#[tokio::test]
async fn who_does_not_follow_redirects_is_told_what_to_send() {
    let world = start().await;
    let (artifact, _) = world.artifact("code", "tool").await;
    let place = format!("{artifact}/files/src/main.rs");
    let told = world
        .send(
            "POST",
            &format!("{place}?sha256={}", hex(b"fn main() {}")),
            &[("if-none-match", "*")],
            "",
        )
        .await;
    let told = told.json();
    assert_eq!(told["method"], "PUT");
    assert!(told["expires_at"].as_str().unwrap().ends_with('Z'));
    let headers: Vec<(&str, &str)> = told["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let url = told["url"].as_str().unwrap();
    let sent = world.send("PUT", url, &headers, "fn main() {}").await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let again = world.send("PUT", url, &headers, "fn main() {}").await;
    assert_eq!(again.status, 412);
    // Unsigned, the address is for no other request.
    assert_eq!(
        world.send("PUT", url, &[], "fn main() {}").await.status,
        403
    );
    let told = world
        .send("GET", &format!("{place}?redirect=false"), &[], "")
        .await
        .json();
    assert_eq!(told["headers"], json!({}));
    let got = world
        .send("GET", told["url"].as_str().unwrap(), &[], "")
        .await;
    assert_eq!(got.text(), "fn main() {}");
}

#[tokio::test]
async fn a_file_is_created_only_where_there_is_none_if_that_is_asked_for() {
    let world = start().await;
    let (artifact, _) = world.artifact("model", "bert").await;
    let place = format!("{artifact}/files/a");
    let create = &[("if-none-match", "*")];
    assert_eq!(world.follow("PUT", &place, create, "1").await.status, 200);
    assert_eq!(world.follow("PUT", &place, create, "2").await.status, 412);
    assert_eq!(world.follow("GET", &place, &[], "").await.text(), "1");
    world.put(&artifact, "a", "3").await;
    assert_eq!(world.follow("GET", &place, &[], "").await.text(), "3");
}

#[tokio::test]
async fn odd_names_are_names_and_other_places_are_none() {
    let world = start().await;
    let (artifact, id) = world.artifact("dataset", "odd").await;
    for (sent, path) in [
        ("with%20space.txt", "with space.txt"),
        ("a/b/c", "a/b/c"),
        ("d%2Fe", "d/e"),
        ("%C3%BC/%E6%97%A5%20%F0%9F%98%80.md", "ü/日 😀.md"),
        ("plus+and&=;,@:$!*'()", "plus+and&=;,@:$!*'()"),
        ("100%25.txt", "100%.txt"),
        ("%2541", "%41"),
        ("hash%23tag%3Fquery", "hash#tag?query"),
        ("quote%22%3Cxml%3E", "quote\"<xml>"),
        ("...", "..."),
    ] {
        world.put(&artifact, sent, path.to_owned()).await;
        let got = world
            .follow("GET", &format!("{artifact}/files/{sent}"), &[], "")
            .await;
        assert_eq!((got.status.as_u16(), got.text()), (200, path.to_owned()));
        let key = format!("artifacts/{id}/files/{path}");
        assert!(world.objects.get(&key).await.unwrap().is_some(), "{path}");
    }
    assert_eq!(world.files(&artifact).await.len(), 10);
    let before = world.keys("").await;
    for path in [
        "..",
        "%2E%2E",
        "../metadata.json",
        "..%2Fmetadata.json",
        "a/../../metadata.json",
        "a%2F..%2Fb",
        ".",
        "./a",
        "%2Fetc",
        "/etc",
        "a//b",
        "a/",
        "a%00b",
        "a%0Ab",
        "a%5Cb",
        "..%5C..%5Ca",
        "%FF",
        &"x".repeat(769),
    ] {
        for method in ["PUT", "POST", "GET", "HEAD", "DELETE"] {
            let place = format!("{artifact}/files/{path}");
            let refused = world.send(method, &place, &[], "").await;
            assert_eq!(refused.status, 400, "{method} {path}");
        }
    }
    assert_eq!(world.keys("").await, before);
}

#[tokio::test]
async fn files_belong_to_artifacts_and_are_for_those_who_may() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    world.put(&artifact, "a", "1").await;
    let file = format!("{artifact}/files/a");
    let list = format!("{artifact}/files");
    let download = format!("{artifact}/download");
    let begin = format!("{artifact}/uploads");
    let upload = format!("{artifact}/uploads/x?path=a");
    let sign = format!("{artifact}/uploads/x/parts");
    let complete = format!("{artifact}/uploads/x/complete");
    let draft = r#"{"path": "b", "size": 1}"#;
    let parts = r#"{"path": "b", "parts": []}"#;
    for (method, place, body, permission) in [
        ("GET", &file, "", "download"),
        ("HEAD", &file, "", "download"),
        ("GET", &list, "", "download"),
        ("GET", &download, "", "download"),
        ("GET", &format!("/models/{id}/download"), "", "download"),
        ("GET", &format!("/download/model/{id}"), "", "download"),
        ("PUT", &file, "", "upload"),
        ("POST", &file, "", "upload"),
        ("DELETE", &file, "", "upload"),
        ("POST", &begin, draft, "upload"),
        ("POST", &sign, parts, "upload"),
        ("GET", &upload, "", "upload"),
        ("POST", &complete, draft, "upload"),
        ("DELETE", &upload, "", "upload"),
    ] {
        let may = |token: &'static str| {
            let headers = [("x-authorization", token)];
            let (world, place) = (&world, place.clone());
            async move { world.send(method, &place, &headers, body).await.status }
        };
        assert_eq!(may("nobody").await, 403, "{method} {place}");
        assert_eq!(may("searcher").await, 403, "{method} {place}");
        let reader = may("reader").await;
        assert_eq!(reader == 403, permission == "upload", "{method} {place}");
    }
    assert_eq!(world.follow("GET", &file, &[], "").await.text(), "1");
    let another = "/artifacts/model/404404";
    let other_kind = format!("/artifacts/code/{id}");
    for artifact in [another, &other_kind] {
        for (method, place, body) in [
            ("PUT", "files/a", ""),
            ("GET", "files/a", ""),
            ("DELETE", "files/a", ""),
            ("GET", "files", ""),
            ("GET", "download", ""),
            ("POST", "uploads", draft),
            ("POST", "uploads/x/parts", parts),
            ("GET", "uploads/x?path=a", ""),
            ("POST", "uploads/x/complete", draft),
            ("DELETE", "uploads/x?path=a", ""),
        ] {
            let place = format!("{artifact}/{place}");
            let missing = world.send(method, &place, &[], body).await;
            assert_eq!(missing.status, 404, "{method} {place}");
        }
    }
    // What lies in the folder of an artifact that is not there is shown to nobody.
    let stray = "artifacts/404404/files/a";
    world.objects.create(stray, b"1".to_vec()).await.unwrap();
    let stray = world.send("GET", "/artifacts/model/404404/files/a", &[], "");
    assert_eq!(stray.await.status, 404);
}

#[tokio::test]
async fn a_deleted_artifact_leaves_no_files_behind() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    for path in ["a", "b/c"] {
        world.put(&artifact, path, "1").await;
    }
    world.files(&artifact).await;
    let got = world
        .follow("GET", &format!("{artifact}/download"), &[], "")
        .await;
    assert_eq!(got.status, 200);
    let folder = format!("artifacts/{id}/");
    assert_eq!(world.keys(&folder).await.len(), 4);
    let archives = format!("archives/{id}/");
    assert_eq!(world.keys(&archives).await.len(), 1);
    assert_eq!(world.send("DELETE", &artifact, &[], "").await.status, 200);
    assert!(world.keys(&folder).await.is_empty() && world.keys(&archives).await.is_empty());
}

#[tokio::test]
async fn the_list_follows_what_is_in_the_bucket_whoever_put_it_there() {
    let world = start().await;
    let (artifact, id) = world.artifact("dataset", "texts").await;
    let put = async |path: &str, body: &str| {
        let key = format!("artifacts/{id}/files/{path}");
        let put = world.sdk.put_object().bucket(BUCKET).key(key);
        let put = put.body(body.as_bytes().to_vec().into());
        put.content_type("text/csv").send().await.unwrap();
    };
    put("direct.csv", "1,2").await;
    put("folder/", "").await;
    put("../outside", "x").await;
    world.put(&artifact, "shown.csv", "3,4").await;
    let paths = |files: &[Value]| -> Vec<String> {
        let path = |file: &Value| file["path"].as_str().unwrap().to_owned();
        files.iter().map(path).collect()
    };
    let files = world.files(&artifact).await;
    assert_eq!(paths(&files), ["direct.csv", "shown.csv"]);
    assert_eq!(
        (&files[0]["size"], &files[0]["content_type"]),
        (&json!(3), &json!("text/csv"))
    );
    assert!(files[0]["checksum"]["value"].is_string());
    assert!(files[0]["uploaded_at"].as_str().unwrap().ends_with('Z'));

    // What is known is not asked again.
    let target = Target {
        operation: Some("HeadObject".to_owned()),
        ..Target::default()
    };
    world.s3.faults().inject(Fault::AccessDenied, target);
    assert_eq!(world.files(&artifact).await, files);
    world.s3.faults().clear();

    let manifest = format!("artifacts/{id}/manifest.json");
    put("direct.csv", "5,6,7").await;
    let shown = format!("{artifact}/files/shown.csv");
    assert_eq!(world.send("DELETE", &shown, &[], "").await.status, 204);
    let changed = world.files(&artifact).await;
    assert_eq!(paths(&changed), ["direct.csv"]);
    assert_eq!(changed[0]["size"], 5);
    let (kept, etag) = world.objects.get(&manifest).await.unwrap().unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept["files"], json!(changed));

    // A manifest that is damaged or gone is made anew.
    let damaged = world
        .objects
        .replace(&manifest, b"{".to_vec(), &etag)
        .await
        .unwrap();
    assert_eq!(world.files(&artifact).await, changed);
    let (_, healed) = world.objects.get(&manifest).await.unwrap().unwrap();
    assert_ne!(healed, damaged);
    world.objects.delete(&manifest).await.unwrap();
    assert_eq!(world.files(&artifact).await, changed);
    assert!(world.objects.get(&manifest).await.unwrap().is_some());
}

#[tokio::test]
async fn the_list_is_had_by_page() {
    let world = start().await;
    let (artifact, id) = world.artifact("dataset", "texts").await;
    for number in 0..7 {
        let key = format!("artifacts/{id}/files/{number}.csv");
        let bytes = number.to_string().into_bytes();
        world.objects.create(&key, bytes).await.unwrap();
    }
    let list = format!("{artifact}/files");
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = world
            .send("GET", &format!("{list}?limit=3&after={after}"), &[], "")
            .await
            .json();
        let files = page["files"].as_array().unwrap();
        assert!(files.len() <= 3);
        found.extend(files.clone());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(found, world.files(&artifact).await);
    assert_eq!(found.len(), 7);
    // Pages that are asked for in any order make one manifest.
    world
        .objects
        .delete(&format!("artifacts/{id}/manifest.json"))
        .await
        .unwrap();
    for query in ["after=4.csv", "limit=2", "after=1.csv&limit=3"] {
        let page = world.send("GET", &format!("{list}?{query}"), &[], "").await;
        assert_eq!(page.status, 200);
    }
    let manifest = format!("artifacts/{id}/manifest.json");
    let (kept, _) = world.objects.get(&manifest).await.unwrap().unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept["files"], json!(found));
    let far = format!("after={}", "x".repeat(1000));
    for query in ["limit=0", "limit=1001", "limit=x", "limit=-1", &far] {
        let refused = world.send("GET", &format!("{list}?{query}"), &[], "").await;
        assert_eq!(refused.status, 400, "{query}");
    }
}

#[tokio::test]
async fn many_files_do_not_hide_the_artifacts_behind_them() {
    let world = start().await;
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        let (_, id) = world.artifact("dataset", name).await;
        ids.push(id);
    }
    ids.sort();
    let puts = (0..2100).map(|number| {
        let key = format!("artifacts/{}/files/{number}.csv", ids[0]);
        let objects = world.objects.clone();
        async move { objects.create(&key, b"1".to_vec()).await.unwrap() }
    });
    join_all(puts).await;
    let query = r#"[{"name": "*"}]"#;
    for _ in 0..2 {
        let found = world.send("POST", "/artifacts", &[], query).await.json();
        let found: Vec<&str> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|artifact| artifact["id"].as_str().unwrap())
            .collect();
        let expected: Vec<&str> = ids.iter().map(registry::artifact::Id::as_str).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_file_too_large_for_one_request_is_sent_in_parts() {
    let world = start().await;
    let (artifact, _) = world.artifact("model", "large").await;
    let body = pattern((5 << 20) + 7, 3);
    let (first, second) = body.split_at(5 << 20);
    let draft = json!({
        "path": "weights/a b.bin",
        "size": body.len(),
        "part_size": 5 << 20,
        "sha256": hex(&body),
        "content_type": "application/x-weights",
    });
    let begun = world
        .send(
            "POST",
            &format!("{artifact}/uploads"),
            &[],
            draft.to_string(),
        )
        .await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let begun = begun.json();
    assert_eq!(
        (&begun["parts"], &begun["part_size"]),
        (&json!(2), &json!(5 << 20))
    );
    let upload = format!(
        "{artifact}/uploads/{}",
        begun["upload_id"].as_str().unwrap()
    );
    let wanted = json!({
        "path": "weights/a b.bin",
        "parts": [
            { "number": 1, "sha256": hex(first) },
            { "number": 2, "sha256": hex(second) },
        ],
    });
    let signed = world
        .send("POST", &format!("{upload}/parts"), &[], wanted.to_string())
        .await
        .json();
    let send_part = async |number: usize, bytes: &[u8]| {
        let part = &signed["parts"][number - 1];
        assert_eq!(part["number"], number);
        let checksum = part["headers"]["x-amz-checksum-sha256"].as_str().unwrap();
        let url = part["url"].as_str().unwrap();
        let headers = [("x-amz-checksum-sha256", checksum)];
        world
            .send("PUT", url, &headers, bytes.to_vec())
            .await
            .status
    };
    let complete = async |body: Value| {
        let place = format!("{upload}/complete");
        world.send("POST", &place, &[], body.to_string()).await
    };
    let completion = json!({ "path": "weights/a b.bin", "size": body.len() });
    assert_eq!(send_part(1, second).await, 400); // the bytes of another part
    assert_eq!(complete(completion.clone()).await.status, 409);
    assert_eq!(send_part(2, second).await, 200);
    let early = complete(completion.clone()).await;
    assert_eq!(early.status, 409);
    assert_eq!(early.json()["detail"], "part 1 is missing");
    // Whoever was interrupted learns what has arrived.
    let place = format!("{upload}?path=weights/a%20b.bin");
    let there = world.send("GET", &place, &[], "").await.json();
    assert_eq!(there["parts"].as_array().unwrap().len(), 1);
    assert_eq!(there["parts"][0]["number"], 2);
    assert_eq!(there["parts"][0]["sha256"], hex(second));
    assert_eq!(send_part(1, first).await, 200);
    let wrong_size = json!({ "path": "weights/a b.bin", "size": 7 });
    assert_eq!(complete(wrong_size).await.status, 409);
    assert!(world.files(&artifact).await.is_empty());

    let sent = json!({
        "path": "weights/a b.bin",
        "size": body.len(),
        "parts": [
            { "number": 1, "sha256": hex(first) },
            { "number": 2, "sha256": hex(second), "etag": there["parts"][0]["etag"] },
        ],
    });
    let file = complete(sent.clone()).await;
    assert_eq!(file.status, 200, "{}", file.text());
    let file = file.json();
    assert_eq!(file["checksum"]["type"], "COMPOSITE");
    assert_eq!(
        (&file["sha256"], &file["declared_sha256"]),
        (&Value::Null, &json!(hex(&body)))
    );
    assert_eq!(file["content_type"], "application/x-weights");
    assert_eq!(world.files(&artifact).await, std::slice::from_ref(&file));
    // The answer may have been lost, so the same again is answered the same.
    assert_eq!(complete(sent).await.json(), file);
    assert_eq!(complete(completion).await.status, 404);
    let got = world
        .follow(
            "GET",
            &format!("{artifact}/files/weights/a%20b.bin"),
            &[],
            "",
        )
        .await;
    assert_eq!(got.body, body);
}

#[tokio::test]
async fn an_upload_is_given_up_and_belongs_to_its_file() {
    let world = start().await;
    let (artifact, _) = world.artifact("model", "large").await;
    let uploads = format!("{artifact}/uploads");
    let draft = json!({ "path": "a", "size": 1 }).to_string();
    let begun = world.send("POST", &uploads, &[], draft).await.json();
    let upload = format!("{uploads}/{}", begun["upload_id"].as_str().unwrap());
    let elsewhere = format!("{upload}?path=b");
    assert_eq!(world.send("GET", &elsewhere, &[], "").await.status, 404);
    assert_eq!(world.send("DELETE", &elsewhere, &[], "").await.status, 404);
    let place = format!("{upload}?path=a");
    assert_eq!(world.send("GET", &place, &[], "").await.status, 200);
    assert_eq!(world.send("DELETE", &place, &[], "").await.status, 204);
    assert_eq!(world.send("GET", &place, &[], "").await.status, 404);
    assert_eq!(world.send("DELETE", &place, &[], "").await.status, 404);
    for draft in [
        json!({ "path": "../a", "size": 1 }),
        json!({ "path": "a", "size": 0 }),
        json!({ "path": "a", "size": -1 }),
        json!({ "path": "a", "size": 1, "part_size": 1 }),
        json!({ "path": "a", "size": 1, "sha256": "no digest" }),
        json!({ "path": "a", "size": 1, "content_type": "text/html\r\nx-evil: 1" }),
        json!({ "path": "a" }),
    ] {
        let refused = world.send("POST", &uploads, &[], draft.to_string()).await;
        assert_eq!(refused.status, 400, "{draft}");
    }
    for parts in [
        json!([{ "number": 0, "sha256": hex(b"a") }]),
        json!([{ "number": 10_001, "sha256": hex(b"a") }]),
        json!([{ "number": 1, "sha256": "" }]),
        json!([{ "number": 1 }]),
    ] {
        let body = json!({ "path": "a", "parts": parts }).to_string();
        let refused = world
            .send("POST", &format!("{upload}/parts"), &[], body)
            .await;
        assert_eq!(refused.status, 400, "{parts}");
    }
    let many: Vec<Value> = (1..=1001)
        .map(|number| json!({ "number": number, "sha256": hex(b"a") }))
        .collect();
    let body = json!({ "path": "a", "parts": many }).to_string();
    let refused = world
        .send("POST", &format!("{upload}/parts"), &[], body)
        .await;
    assert_eq!(refused.status, 413);
    let huge = &[("content-length", "5368709121")];
    let other = Client::of(Storage::new(Chain::default(), access())).await;
    let mut request =
        Request::put(format!("{artifact}/files/a")).header("x-authorization", &other.admin);
    for (name, value) in huge {
        request = request.header(*name, *value);
    }
    let refused = other.answer(request.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.status(), 413);
}

#[tokio::test]
async fn without_s3_there_are_no_files_and_downloads_lead_to_the_source() {
    let folder = tempfile::TempDir::new().unwrap();
    let nowhere = Settings {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..Settings::default()
    };
    let sqlite = Chain {
        sqlite: Some(folder.path().join("registry.db")),
        ..Chain::default()
    };
    // S3 is wanted, and away.
    let fallback = Chain {
        bucket: Some("registry".to_owned()),
        s3: nowhere,
        ..Chain::default()
    };
    for (chain, refusal) in [(Chain::default(), 501), (sqlite, 501), (fallback, 503)] {
        let client = Client::of(Storage::new(chain, access())).await;
        let send = async |method: &str, place: &str, body: &str| {
            let request = Request::builder().method(method).uri(place);
            let request = request.header("x-authorization", &client.admin);
            let request = request.body(Body::from(body.to_owned())).unwrap();
            let answer = client.answer(request).await;
            let (parts, body) = answer.into_parts();
            let location = parts.headers.get("location").cloned();
            (
                parts.status.as_u16(),
                location,
                to_bytes(body, 10_000).await.unwrap(),
            )
        };
        let source = r#"{"url": "https://example.com/ü?a=b"}"#;
        let (_, location, _) = send("POST", "/artifact/model", source).await;
        let artifact = location.unwrap().to_str().unwrap().to_owned();
        for (method, place, body) in [
            ("PUT", "files/a", ""),
            ("POST", "files/a", ""),
            ("GET", "files/a", ""),
            ("POST", "uploads", r#"{"path": "a", "size": 1}"#),
        ] {
            let (status, _, problem) = send(method, &format!("{artifact}/{place}"), body).await;
            assert_eq!(status, refusal, "{method} {place} {problem:?}");
        }
        let (status, _, body) = send("GET", &format!("{artifact}/files"), "").await;
        assert_eq!((status, &body[..]), (200, &b"{\"files\":[]}"[..]));
        let (status, location, _) = send("GET", &format!("{artifact}/download"), "").await;
        assert_eq!(
            (status, location.unwrap().to_str().unwrap()),
            (302, "https://example.com/%C3%BC?a=b")
        );
    }
}

#[tokio::test]
async fn while_s3_fails_the_answer_says_so() {
    let world = start().await;
    let (artifact, _) = world.artifact("model", "bert").await;
    world.put(&artifact, "a", "1").await;
    world.put(&artifact, "b", "2").await;
    for operation in ["HeadObject", "ListObjectsV2", "CreateMultipartUpload"] {
        let target = Target {
            operation: Some(operation.to_owned()),
            ..Target::default()
        };
        world.s3.faults().inject(Fault::AccessDenied, target);
    }
    for (method, place, body) in [
        ("GET", "files/a", ""),
        ("DELETE", "files/a", ""),
        ("GET", "files", ""),
        ("GET", "download", ""),
        ("POST", "uploads", r#"{"path": "a", "size": 1}"#),
    ] {
        let place = format!("{artifact}/{place}");
        let failed = world.send(method, &place, &[], body).await;
        assert_eq!(failed.status, 503, "{method} {place}");
        assert_eq!(failed.header("retry-after"), "5");
        assert!(!failed.text().contains("AccessDenied"));
    }
    world.s3.faults().clear();
    let got = world
        .follow("GET", &format!("{artifact}/files/a"), &[], "")
        .await;
    assert_eq!(got.text(), "1");
}

#[tokio::test]
async fn an_artifact_tells_where_its_bytes_are_had_and_that_is_true_of_each() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "tiny").await;
    let told = world.send("GET", &artifact, &[], "").await.json();
    let address = told["data"]["download_url"].as_str().unwrap();
    assert_eq!(address, format!("{}{artifact}/download", world.api));
    let admin = &[("x-authorization", "admin")];
    let to_source = world.send("GET", address, admin, "").await;
    assert_eq!(to_source.status, 302);
    assert_eq!(to_source.location(), "https://example.com/model/tiny");
    world.put(&artifact, "only.bin", "weights").await;
    for place in [
        address.to_owned(),
        format!("{artifact}/download?aspect=weights"),
        format!("/artifact/model/{id}/download"),
        format!("/models/{id}/download?aspect=full"),
        format!("/download/model/{id}"),
    ] {
        let got = world.follow("GET", &place, admin, "").await;
        assert_eq!(got.text(), "weights", "{place}");
        let head = world.follow("HEAD", &place, admin, "").await;
        assert_eq!(
            (head.status.as_u16(), head.header("content-length")),
            (200, "7")
        );
    }
    for (query, status) in [("aspect=datasets", 404), ("aspect=all", 400)] {
        let place = format!("{artifact}/download?{query}");
        assert_eq!(world.send("GET", &place, &[], "").await.status, status);
    }
    let told = world
        .send(
            "GET",
            &format!("{artifact}/download?redirect=false"),
            &[],
            "",
        )
        .await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["method"]),
        (200, &json!("GET"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_get_a_model_at_once() {
    let world = start().await;
    let (artifact, _) = world.artifact("model", "tiny").await;
    let body = pattern(2_000_000, 5);
    world
        .put(&artifact, "model.safetensors", body.clone())
        .await;
    let place = format!("{artifact}/download");
    let clients = (0..100).map(|_| world.follow("GET", &place, &[], ""));
    for got in join_all(clients).await {
        assert_eq!(got.status, 200, "{}", got.text());
        assert_eq!(got.body, body);
    }
}
