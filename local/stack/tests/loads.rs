//! What is put into a bucket can be searched, with one's own rights and with those of a role.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fs;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{RestoreRequest, StorageClass};
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
async fn a_document_in_the_customer_s_bucket_is_read_through_the_role_that_trusts() {
    let place = Place::new();
    let running = place.start().await;
    let customer = running.customer_s3();
    customer
        .create_bucket()
        .bucket("acme")
        .send()
        .await
        .unwrap();
    let body = ByteStream::from_static(b"a capybara");
    let put = customer
        .put_object()
        .bucket("acme")
        .key("theirs")
        .body(body);
    put.send().await.unwrap();
    let role = "arn:aws:iam::111122223333:role/reader";
    let add = format!(
        "select jsonb_build_object('AssumeRolePolicyDocument', trust_policy, 'Policies', jsonb_build_object('read', permission_policy))::text from add_source('s3://acme/', '{role}')"
    );
    let record: String = query(&running, &add).await[0].get(0);
    let enter = "insert into document (uri, title) values ('s3://acme/theirs', '')";
    query(&running, enter).await;
    let state = "select uri from document_load_status where reason = 'role_denied'";
    wait_for("the role is refused", async || {
        (!query(&running, state).await.is_empty()).then_some(())
    })
    .await;
    // The customer makes the role, and somebody has the function try.
    let roles = place.folder().join("s3/iam/roles/111122223333");
    fs::create_dir_all(&roles).unwrap();
    fs::write(roles.join("reader.json"), record).unwrap();
    query(&running, "select change_source('s3://acme/', retries => 3)").await;
    wait_for_found(&running, "capybara", &["s3://acme/theirs"]).await;
}

#[tokio::test]
async fn an_archived_document_is_read_when_it_was_restored() {
    let place = Place::new();
    let running = place.start().await;
    let put = running.s3().put_object().bucket("documents").key("old");
    let put = put.storage_class(StorageClass::Glacier);
    put.body(ByteStream::from_static(b"a walrus"))
        .send()
        .await
        .unwrap();
    let state = "select uri from document_load_status where reason = 'archived'";
    wait_for("it is parked", async || {
        (!query(&running, state).await.is_empty()).then_some(())
    })
    .await;
    let days = RestoreRequest::builder().days(1).build();
    let restored = running.s3().restore_object().bucket("documents").key("old");
    restored.restore_request(days).send().await.unwrap();
    wait_for_found(&running, "walrus", &["s3://documents/old"]).await;
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
