//! Documents become text that can be searched, and stay in step with their objects.

mod support;

use serde_json::json;
use support::Loader;

#[tokio::test]
async fn a_document_becomes_text_that_can_be_searched() {
    let loader = Loader::start().await;
    let uri = loader
        .put(
            "notes/a b.md",
            "The quick brown fox jumps over the lazy dog",
        )
        .await;
    let report = loader.load().await;
    assert_eq!(
        (&report["loaded"], &report["finished"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        loader.text(&uri).await,
        "The quick brown fox jumps over the lazy dog"
    );
    assert_eq!(loader.state(&uri).await, "loaded");

    let found = loader
        .sql
        .query_one(
            "select uri, snippet from search_documents('foxes jumping')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(found.get::<_, String>(0), uri);
    insta::assert_snapshot!(found.get::<_, String>(1), @"quick brown <b>fox</b> <b>jumps</b> over the lazy");
}

#[tokio::test]
async fn an_overwritten_document_has_its_new_text_and_a_deleted_one_has_none() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "first").await;
    loader.load().await;
    loader.put("a", "second").await;
    assert_eq!(
        loader.text(&uri).await,
        "first",
        "until the new one is there"
    );
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "second");

    loader.remove(&uri).await;
    assert_eq!(loader.text(&uri).await, "", "with the row, not later");
    let report = loader.load().await;
    assert_eq!(report["gone"], 1);
    assert_eq!(loader.states().await, "");
}
