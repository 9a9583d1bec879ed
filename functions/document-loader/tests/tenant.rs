//! A document in another account's bucket, from the source that names its role to text that is found: the executable
//! with an S3, IAM and STS that enforce trust, external ids and session policies.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::time::Duration;

use embedded_iam::NewRole;
use embedded_s3::{AccountId, Fault};
use serde_json::{Value, json};
use support::deployed::BINARY;
use support::document::{docx, noise, zip_with};
use support::{DOCUMENT, OWN_ROLE, states};
use testkit::{Aws, Function, Keys, Postgres, RuntimeApi, Tenant};

const BUCKET: &str = "customer-papers";
const SOURCE: &str = "s3://customer-papers/reports/";
const ROLE: &str = "arn:aws:iam::111122223333:role/holdfast";

/// The executable, a database, and two accounts.
struct Flow {
    function: Function,
    sql: tokio_postgres::Client,
    aws: Aws,
    _postgres: Postgres,
}

impl Flow {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let sql = postgres.connect().await;
        sql.batch_execute(DOCUMENT).await.unwrap();
        let aws = Aws::start().await;
        aws.bucket(Keys::Customer, BUCKET, "us-east-1").await;
        let mut variables = aws.environment().to_vec();
        variables.push(("DATABASE_URL", postgres.url()));
        let function = RuntimeApi::start().await.run(BINARY, &variables);
        function.ready().await.unwrap();
        Self {
            function,
            sql,
            aws,
            _postgres: postgres,
        }
    }

    /// Adds the source, and makes the role with what comes back.
    async fn add_source(&self) {
        let row = self
            .sql
            .query_one(
                "select trust_policy::text, permission_policy::text from add_source($1, $2, principal => $3)",
                &[&SOURCE, &ROLE, &OWN_ROLE],
            )
            .await
            .unwrap();
        let role = NewRole {
            account: AccountId::CUSTOMER,
            name: "holdfast",
            trust: row.get(0),
            policy: row.get(1),
            max_session_duration: 3600,
        };
        self.aws.store().iam().put_role(&role).unwrap();
    }

    /// Puts an object into the customer's bucket, and its URI, and nothing else, into the documents table.
    async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        self.aws.put(Keys::Customer, BUCKET, key, body).await;
        let uri = format!("s3://{BUCKET}/{key}");
        self.sql
            .execute("insert into document (uri, title) values ($1, '')", &[&uri])
            .await
            .unwrap();
        uri
    }

    async fn load(&self) -> Value {
        let answer = self.function.invoke(&json!({ "load": {} })).await.unwrap();
        answer["load"].clone()
    }

    async fn verify(&self) -> Value {
        let order = json!({ "verify": { "source": SOURCE } });
        self.function.invoke(&order).await.unwrap()
    }

    async fn found(&self, words: &str) -> Vec<String> {
        let query = "select uri from search_documents($1)";
        let rows = self.sql.query(query, &[&words]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// What was checked, and whether it is as it should be.
fn checks(verified: &Value) -> Vec<(String, bool)> {
    let findings = verified["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| {
            let check = finding["check"].as_str().unwrap().to_owned();
            (check, finding["ok"] == true)
        })
        .collect()
}

#[tokio::test]
async fn a_document_in_another_account_s_bucket_is_found_by_its_words() {
    let flow = Flow::start().await;
    flow.add_source().await;
    let uri = flow
        .put(
            "reports/a.docx",
            docx("<w:p><w:r><w:t>A capybara</w:t></w:r></w:p>"),
        )
        .await;
    let verified = flow.verify().await;
    assert_eq!(verified["ok"], true, "{verified}");
    let report = flow.load().await;
    assert_eq!(report["loaded"], 1, "{report}");
    assert_eq!(flow.found("capybaras").await, [uri]);
    // What is beside the source belongs to nobody who was let in.
    flow.put("letters/a.txt", "A walrus").await;
    flow.load().await;
    let states = states(&flow.sql).await;
    assert!(
        states.contains("letters/a.txt | parked | denied"),
        "{states}"
    );
}

#[tokio::test]
async fn a_session_is_of_no_use_to_another_external_id() {
    let flow = Flow::start().await;
    flow.add_source().await;
    flow.put("reports/a.txt", "A capybara").await;
    assert_eq!(flow.load().await["loaded"], 1);
    let change = format!(
        "select change_source('{SOURCE}', external_id => 'another', principal => '{OWN_ROLE}')"
    );
    flow.sql.batch_execute(&change).await.unwrap();
    flow.put("reports/b.txt", "A walrus").await;
    flow.load().await;
    let states = states(&flow.sql).await;
    assert!(
        states.contains("reports/b.txt | parked | role_denied"),
        "{states}"
    );
}

#[tokio::test]
async fn a_role_that_trusts_without_the_external_id_is_found_out() {
    let flow = Flow::start().await;
    flow.add_source().await;
    flow.put("reports/a.txt", "A capybara").await;
    let tenant = Tenant {
        external_id: None,
        ..Tenant::new("holdfast", BUCKET, "")
    };
    flow.aws.role(&tenant);
    let verified = flow.verify().await;
    assert_eq!(verified["ok"], false);
    let wrong: Vec<String> = checks(&verified)
        .into_iter()
        .filter_map(|(check, is_ok)| (!is_ok).then_some(check))
        .collect();
    assert_eq!(
        wrong,
        ["without_external_id", "wrong_external_id"],
        "{verified}"
    );
}

#[tokio::test]
async fn a_role_that_comes_later_is_assumed_as_soon_as_its_source_is_verified_or_changed() {
    for is_verified in [true, false] {
        let flow = Flow::start().await;
        flow.sql
            .execute(
                "select add_source($1, $2, 'tenant-42', principal => $3)",
                &[&SOURCE, &ROLE, &OWN_ROLE],
            )
            .await
            .unwrap();
        let uri = flow.put("reports/a.txt", "A capybara").await;
        flow.load().await;
        let before = states(&flow.sql).await;
        assert!(before.contains("parked | role_denied"), "{before}");
        flow.aws.role(&Tenant::new("holdfast", BUCKET, "tenant-42"));
        if is_verified {
            let verified = flow.verify().await;
            assert_eq!(verified["ok"], true, "{verified}");
        } else {
            let change = format!(
                "select change_source('{SOURCE}', retries => 3, principal => '{OWN_ROLE}')"
            );
            flow.sql.batch_execute(&change).await.unwrap();
        }
        flow.load().await;
        assert_eq!(flow.found("capybara").await, [uri]);
    }
}

#[tokio::test]
async fn sessions_that_end_while_a_large_document_is_read_are_begun_anew() {
    let flow = Flow::start().await;
    flow.add_source().await;
    let picture = noise(1, 1024 * 1024).repeat(60);
    let large = zip_with(&[("word/media/image1.png", &picture)]);
    let uri = flow.put("reports/large.docx", large).await;
    // The first four parts are on their way, and one of them pauses, when all sessions end.
    flow.aws.fail_object(
        "reports/large.docx",
        1,
        Fault::StallBody {
            after: 1000,
            pause: Duration::from_secs(3),
        },
    );
    let ended = async {
        while flow.aws.calls("GetObject") < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        flow.aws.end_sessions();
    };
    let (report, ()) = tokio::join!(flow.load(), ended);
    assert_eq!(report["loaded"], 1, "{report}");
    assert_eq!(flow.found("capybara").await, [uri]);
    assert_eq!(flow.aws.calls("AssumeRole"), 2);
}
