//! What is put into a bucket can be searched, with one's own rights and with those of a role.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use aws_sdk_s3::primitives::ByteStream;
use support::{Place, Running, wait_for};
use tokio_postgres::NoTls;

#[tokio::test]
async fn a_document_is_searched_by_its_present_words_until_it_is_deleted() {
    let place = Place::new();
    let running = place.start().await;
    put(&running, "documents", "notes/a b.md", "a walrus").await;
    wait_for_found(&running, "walrus", &["s3://documents/notes/a b.md"]).await;
    put(&running, "documents", "notes/a b.md", "a penguin").await;
    wait_for_found(&running, "penguin", &["s3://documents/notes/a b.md"]).await;
    wait_for_found(&running, "walrus", &[]).await;
    let deleted = running
        .s3()
        .delete_object()
        .bucket("documents")
        .key("notes/a b.md");
    deleted.send().await.unwrap();
    wait_for_found(&running, "penguin", &[]).await;
}

#[tokio::test]
async fn a_document_of_a_source_with_a_role_is_read_through_it() {
    let place = Place::new();
    let running = place.start().await;
    running
        .s3()
        .create_bucket()
        .bucket("acme")
        .send()
        .await
        .unwrap();
    let role = "arn:aws:iam::123456789012:role/reader";
    let sql = format!("select add_source('s3://acme/', '{role}')");
    query(&running, &sql).await;
    put(&running, "acme", "theirs", "a capybara").await;
    wait_for_found(&running, "capybara", &["s3://acme/theirs"]).await;
}

async fn put(running: &Running, bucket: &str, key: &str, body: &str) {
    let put = running.s3().put_object().bucket(bucket).key(key);
    let body = ByteStream::from(body.as_bytes().to_vec());
    put.body(body).send().await.unwrap();
}

async fn query(running: &Running, sql: &str) -> Vec<tokio_postgres::Row> {
    let connected = tokio_postgres::connect(running.variable("DATABASE_URL"), NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client.query(sql, &[]).await.unwrap()
}

async fn wait_for_found(running: &Running, words: &str, expected: &[&str]) {
    let sql = format!("select uri from search_documents('{words}')");
    wait_for(&format!("{words} in {expected:?}"), async || {
        let found: Vec<String> = query(running, &sql)
            .await
            .iter()
            .map(|row| row.get(0))
            .collect();
        (found == expected).then_some(())
    })
    .await;
}
