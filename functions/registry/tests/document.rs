//! The document of the operations: that it is served, and that it holds what is true.

mod support;

use serde_json::Value;
use support::client::{body_of, request, start};

#[tokio::test]
async fn anybody_may_read_what_the_operations_are() {
    let client = start().await;
    let (status, document) = client.anonymous("/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(document["openapi"], "3.1.0");
    if let Ok(file) = std::env::var("DUMP") {
        std::fs::write(file, document.to_string()).unwrap();
    }
    let answer = client.answer(request("GET", "/docs", None, "")).await;
    let page = String::from_utf8(body_of(answer).await).unwrap();
    if let Ok(file) = std::env::var("DUMPPAGE") {
        std::fs::write(file, &page).unwrap();
    }
    let _: Value = document;
}
