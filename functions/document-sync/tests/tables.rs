//! Documents tables that were there before, and roles that may not do everything.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;

use document_sync::DocumentSync;
use serde_json::json;
use shared::telemetry::chain;
use support::{Store, config, delete, deliver, failed_ids, put, queue_of_records};
use testkit::Postgres;
use tokio_postgres::Client;

/// A store, a database with tables of the user's own, and the function told of one of them.
struct Own {
    postgres: Postgres,
    sql: Client,
    store: Store,
    function: DocumentSync,
}

impl Own {
    async fn start(table: &str, schema: &str) -> Self {
        let postgres = Postgres::start().await;
        let sql = postgres.connect().await;
        sql.batch_execute(schema).await.unwrap();
        let store = Store::start(false).await;
        Self {
            function: function(postgres.url(), table, &store),
            postgres,
            sql,
            store,
        }
    }

    async fn apply(&self, records: &[serde_json::Value]) {
        let answer = deliver(&self.function, &queue_of_records(records)).await;
        assert_eq!(failed_ids(answer.unwrap()), [""; 0]);
        let kept = "select coalesce(string_agg(reason, '; '), '') from quarantine";
        let kept: String = self.sql.query_one(kept, &[]).await.unwrap().get(0);
        assert_eq!(kept, "");
    }

    async fn reconcile(&self) -> serde_json::Value {
        let command = json!({ "reconcile": { "bucket": "documents", "max_deleted_share": 1 } });
        let answer = deliver(&self.function, &command).await.unwrap();
        serde_json::to_value(answer).unwrap()
    }

    /// What a query gives, a line each.
    async fn rows(&self, query: &str) -> String {
        let mut text = String::new();
        for row in self.sql.query(query, &[]).await.expect("it can be read") {
            let columns = (0..row.len()).map(|column| {
                let value: Option<String> = row.get(column);
                value.unwrap_or("-".into())
            });
            let columns: Vec<String> = columns.collect();
            writeln!(text, "{}", columns.join(" | ")).expect("a string takes text");
        }
        text
    }

    /// Why the function cannot use the database.
    async fn complaint(&self) -> String {
        let error = self.function.documents.prepare().await.unwrap_err();
        chain(&error).to_string()
    }
}

fn function(url: &str, table: &str, store: &Store) -> DocumentSync {
    let mut config = config(url);
    config.table = Some(table.parse().unwrap());
    let mut function = DocumentSync::new(config);
    function.s3 = store.s3();
    function
}

const MINIMAL: &str = r#"
    create schema "My App";
    create table "My App"."Docs" (title text, uri text, updated_at timestamptz);
    create index on "My App"."Docs" (uri);
    insert into "My App"."Docs" values
        ('a', 's3://documents/a', '2020-01-01'), ('gone', 's3://documents/gone', '2020-01-01'),
        ('elsewhere', 'https://example.com/x', '2020-01-01')"#;

#[tokio::test]
async fn a_table_of_three_columns_is_kept_in_step_and_not_altered() {
    let own = Own::start(r#""My App"."Docs""#, MINIMAL).await;
    let rows =
        r#"select title, uri, (updated_at > '2021-01-01')::text from "My App"."Docs" order by uri"#;
    let described = "
        select attname::text, atttypid::regtype::text from pg_attribute
        where attrelid = '\"My App\".\"Docs\"'::regclass and attnum > 0 order by attnum";
    let columns = own.rows(described).await;
    own.apply(&[
        put("b", "1", "e1"),
        put("a", "1", "e1"),
        delete("gone", "1"),
    ])
    .await;
    insta::assert_snapshot!(own.rows(rows).await, @"
    elsewhere | https://example.com/x | false
    a | s3://documents/a | true
    b | s3://documents/b | true
    ");
    // The ledger knows what the table has no column for.
    let back = r#"update "My App"."Docs" set updated_at = '2020-01-01'"#;
    own.sql.batch_execute(back).await.unwrap();
    own.apply(&[
        put("a", "2", "e1"),
        put("b", "2", "e2"),
        put("b", "2", "e2"),
    ])
    .await;
    insta::assert_snapshot!(own.rows(rows).await, @"
    elsewhere | https://example.com/x | false
    a | s3://documents/a | false
    b | s3://documents/b | true
    ");
    own.apply(&[delete("a", "3"), delete("b", "3")]).await;
    insta::assert_snapshot!(own.rows(rows).await, @"elsewhere | https://example.com/x | false");
    assert_eq!(own.rows(described).await, columns);
    let ours = "select coalesce(to_regclass('document')::text, 'none')";
    assert_eq!(own.rows(ours).await, "none\n", "no table of ours was made");
}

#[tokio::test]
async fn a_table_that_is_taken_over_is_not_written_where_it_is_right_already() {
    let own = Own::start(r#""My App"."Docs""#, MINIMAL).await;
    own.store.put("a", "one").await;
    own.store.put("b", "one").await;
    // A row that is younger than its object cannot be told from a right one; one that is older is written.
    let young = r#"
        insert into "My App"."Docs" values ('b', 's3://documents/b', now() + interval '1 hour')"#;
    own.sql.batch_execute(young).await.unwrap();
    let before = own.rows(r#"select updated_at::text from "My App"."Docs" where title = 'b'"#);
    let before = before.await;
    let answer = own.reconcile().await;
    assert_eq!(answer["reconcile"]["different"], 2, "{answer}");
    assert_eq!(answer["reconcile"]["surplus"], 1, "{answer}");
    let rows =
        r#"select title, uri, (updated_at > '2021-01-01')::text from "My App"."Docs" order by uri"#;
    insta::assert_snapshot!(own.rows(rows).await, @"
    elsewhere | https://example.com/x | false
    a | s3://documents/a | true
    b | s3://documents/b | true
    ");
    let after = own
        .rows(r#"select updated_at::text from "My App"."Docs" where title = 'b'"#)
        .await;
    assert_eq!(after, before);
    let again = own.reconcile().await;
    assert_eq!(again["reconcile"]["different"], 0, "{again}");
    assert_eq!(again["reconcile"]["repaired"], 0, "{again}");
}

#[tokio::test]
async fn columns_that_are_there_are_filled_and_others_keep_their_defaults() {
    let schema = "
        create table docs (
            id uuid primary key default gen_random_uuid(), uri varchar(2000) unique not null, title varchar(8) not null,
            etag text, size numeric, last_modified timestamp, updated_at timestamp not null, kind text not null default 'x',
            length int generated always as (length(title)) stored, size_class int)";
    let own = Own::start("docs", schema).await;
    own.apply(&[put("a-long-name.pdf", "1", "e1")]).await;
    let rows = "
        select uri, title, etag, size::text, last_modified::text, (updated_at is not null)::text, kind, length::text
        from docs";
    insta::assert_snapshot!(own.rows(rows).await, @"s3://documents/a-long-name.pdf | a-long-n | e1 | 2 | 2026-11-02 09:15:01.157 | true | x | 8");
    own.apply(&[put("a-long-name.pdf", "2", "e22")]).await;
    insta::assert_snapshot!(own.rows(rows).await, @"s3://documents/a-long-name.pdf | a-long-n | e22 | 3 | 2026-11-02 09:15:01.157 | true | x | 8");
}

#[tokio::test]
async fn names_are_read_as_statements_read_them() {
    for (name, schema) in [
        ("Docs", "create table docs (title text, uri text)"),
        (
            "app.docs",
            "create schema app; create table app.docs (title text, uri text)",
        ),
        (
            "\"Robert'); drop table students;--\"",
            "create table \"Robert'); drop table students;--\" (title text, uri text)",
        ),
        (
            "\"a\"\"b\"",
            "create table \"a\"\"b\" (title text, uri text)",
        ),
    ] {
        let own = Own::start(name, schema).await;
        own.apply(&[put("a", "1", "e1")]).await;
        own.apply(&[put("a", "2", "e2")]).await;
        let count = format!("select count(*)::text from {name}");
        assert_eq!(own.rows(&count).await, "1\n", "{name}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_used_is_told_at_once_and_nothing_is_lost() {
    for (name, schema, complaint) in [
        (
            "absent",
            "",
            "the table absent that DOCUMENT_TABLE names does not exist",
        ),
        (
            "app.docs",
            "",
            "the table app.docs that DOCUMENT_TABLE names does not exist",
        ),
        (
            "docs",
            "create table docs (title text, url text)",
            "the table docs has no column uri of type text",
        ),
        (
            "docs",
            "create table docs (uri text, title text, owner text not null)",
            "the column owner of the table docs must have a value",
        ),
    ] {
        let own = Own::start(name, schema).await;
        let found = own.complaint().await;
        assert!(found.contains(complaint), "{found}");
        let batch = queue_of_records(&[put("a", "1", "e1")]);
        let failed = failed_ids(deliver(&own.function, &batch).await.unwrap());
        assert_eq!(failed, ["m0"]);
    }
    // As soon as the table is right, so is the next delivery.
    let own = Own::start("docs", "create table docs (uri text)").await;
    own.complaint().await;
    own.sql
        .batch_execute("alter table docs add title text")
        .await
        .unwrap();
    own.apply(&[put("a", "1", "e1")]).await;
}

#[tokio::test]
async fn a_column_that_goes_while_connected_is_noticed() {
    let schema = "create table docs (title text, uri text unique, etag text)";
    let own = Own::start("docs", schema).await;
    own.apply(&[put("a", "1", "e1")]).await;
    own.sql
        .batch_execute("alter table docs drop etag")
        .await
        .unwrap();
    own.apply(&[put("b", "1", "e1")]).await;
    assert_eq!(
        own.rows("select title from docs order by 1").await,
        "a\nb\n"
    );
}

/// As `role`, which the schema of the test has made.
fn as_role(own: &Own, role: &str, table: &str) -> DocumentSync {
    let url = own.postgres.url().replace("holdfast@", &format!("{role}@"));
    assert_ne!(url, own.postgres.url());
    function(&url, table, &own.store)
}

#[tokio::test]
async fn a_role_without_ddl_is_enough_where_the_tables_are() {
    let own = Own::start("docs", "create table docs (title text, uri text unique)").await;
    own.function.documents.prepare().await.unwrap();
    own.sql
        .batch_execute(
            "create role app login; revoke create on schema public from app, public;
             grant select on document_sync_migration to app;
             grant select, insert, update, delete on docs, s3_object, quarantine, reconcile_run, reconcile_surplus to app",
        )
        .await
        .unwrap();
    let function = as_role(&own, "app", "docs");
    let batch = queue_of_records(&[put("a", "1", "e1"), put("b", "1", "e1")]);
    assert_eq!(
        failed_ids(deliver(&function, &batch).await.unwrap()),
        [""; 0]
    );
    let junk = support::queue_of_texts(&["junk".into()]);
    assert_eq!(
        failed_ids(deliver(&function, &junk).await.unwrap()),
        [""; 0]
    );
    own.store.put("c", "one").await;
    let command =
        json!({ "replay": {}, "reconcile": { "bucket": "documents", "max_deleted_share": 1 } });
    deliver(&function, &command).await.unwrap();
    assert_eq!(own.rows("select title from docs").await, "c\n");
}

#[tokio::test]
async fn missing_rights_are_one_message_with_the_grant_that_helps() {
    let own = Own::start("docs", "create table docs (title text, uri text unique)").await;
    own.sql
        .batch_execute("create role \"the app\" login; revoke create on schema public from public")
        .await
        .unwrap();
    let url = own.postgres.url().replace("holdfast@", "the%20app@");
    let app = function(&url, "docs", &own.store);
    let told = complaints(&own, &app).await;
    insta::assert_snapshot!(told, @"the database cannot be used: the role the app lacks rights: run as their owner: grant create on schema public to \"the app\"; /* or let an owner make the tables: docs/operating.md */ grant select, insert, update, delete on docs to \"the app\";");
    let batch = queue_of_records(&[put("a", "1", "e1")]);
    assert_eq!(failed_ids(deliver(&app, &batch).await.unwrap()), [""; 0]);

    // The other way: an owner has made the tables, and given no rights.
    own.sql
        .batch_execute(
            "drop owned by \"the app\"; revoke all on all tables in schema public from public",
        )
        .await
        .unwrap();
    own.function.documents.prepare().await.unwrap();
    let app = function(&url, "docs", &own.store);
    let told = complaints(&own, &app).await;
    insta::assert_snapshot!(told, @"the database cannot be used: the role the app lacks rights: run as their owner: grant select on document_sync_migration to \"the app\"; grant select, insert, update, delete on s3_object, quarantine, reconcile_run, reconcile_surplus to \"the app\"; grant select, insert, update, delete on docs to \"the app\";");
    assert_eq!(failed_ids(deliver(&app, &batch).await.unwrap()), [""; 0]);
}

/// What the function complains of, a line each. Each complaint is followed by what it asks for, until there is none.
async fn complaints(own: &Own, app: &DocumentSync) -> String {
    let mut complaints = Vec::new();
    for _ in 0..6 {
        let Err(error) = app.documents.prepare().await else {
            break;
        };
        let complaint = chain(&error).to_string();
        let grants = complaint.split_once("as their owner: ").unwrap().1;
        own.sql.batch_execute(grants).await.unwrap();
        complaints.push(complaint);
    }
    complaints.join("\n")
}
