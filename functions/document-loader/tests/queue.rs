//! The queue follows the documents table, whoever writes it, and hands each document to one worker at a time.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use document_loader::queue::{Claim, Content, Lane, Outcome, Request, Settled};
use document_loader::reason::{Problem, Reason};
use support::{DOCUMENT, Loader, config, function};
use testkit::Postgres;

const ANY: Request<'_> = Request {
    limit: 100,
    lane: Lane::Unproven,
    each: 100,
    in_hand: &[],
    proven: &[],
};

/// A queue without any S3 behind it.
async fn start() -> Loader {
    Loader::start().await
}

/// The same, of documents that were there before it.
async fn start_on(statements: &[&str]) -> Loader {
    let postgres = Postgres::start().await;
    let sql = postgres.connect().await;
    for statement in statements {
        sql.batch_execute(statement).await.unwrap();
    }
    let store = support::Store::start().await;
    let function = function(postgres.url(), store.amazon());
    function.queue.prepare().await.unwrap();
    Loader {
        store,
        sql,
        function,
        postgres,
    }
}

/// What others do to the database.
async fn execute(loader: &Loader, statements: &str) {
    loader.sql.batch_execute(statements).await.unwrap();
}

/// Settles the first of some documents.
async fn settle(loader: &Loader, claims: &[Claim], outcome: Outcome) -> Settled {
    let outcome = [(claims[0].clone(), outcome)];
    loader.function.queue.settle(&outcome).await.unwrap()
}

/// Enters all that was noted or is found by comparing.
async fn notice(loader: &Loader) {
    while loader.function.queue.notice().await.unwrap().seen > 0 {}
    while loader.function.queue.compare().await.unwrap().is_some() {}
}

async fn claim(loader: &Loader) -> Vec<Claim> {
    notice(loader).await;
    let mut claims = loader.function.queue.claim(ANY).await.unwrap();
    claims.sort_by(|left, right| left.uri.cmp(&right.uri));
    claims
}

fn uris(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.uri.as_str()).collect()
}

fn failed(reason: Reason) -> Outcome {
    Outcome::Failed(Problem::new(reason, "by the test"))
}

#[tokio::test]
async fn every_way_of_writing_documents_is_noticed() {
    let loader = start().await;
    let sql = &loader.sql;
    sql.batch_execute(
        "insert into document (uri, title, etag) select 's3://bbb/' || n, '', '1' from generate_series(1, 1200) as n",
    )
    .await
    .unwrap();
    notice(&loader).await;
    assert_eq!(
        loader
            .count("select count(*) from document_load where state = 'pending'")
            .await,
        1200
    );
    assert_eq!(
        loader.count("select count(*) from document_change").await,
        0
    );

    let due = "select count(*) from document_load where next_attempt_at is not null";
    let settle = "update document_load set state = 'loaded', next_attempt_at = null";
    for (statement, expected) in [
        ("update document set title = 'other'", 0),
        (
            "update document set etag = '2' where uri in ('s3://bbb/1', 's3://bbb/2')",
            2,
        ),
        (
            "update document set etag = null where uri = 's3://bbb/3'",
            1,
        ),
        (
            "insert into document (uri, title, etag) values ('s3://bbb/4', '', '3') on conflict (uri) do update set etag = '3'",
            1,
        ),
        (
            "insert into document (uri, title) values ('s3://bbb/4', '') on conflict do nothing",
            0,
        ),
        (
            "update document set uri = 's3://ccc/5' where uri = 's3://bbb/5'",
            1,
        ),
        (
            "with moved as (delete from document where uri = 's3://bbb/6' returning etag) insert into document (uri, title, etag) select 's3://ccc/6', '', etag from moved",
            1,
        ),
        (
            "copy document (uri, title) from program 'echo s3://bbb/copied,x' (format csv)",
            1,
        ),
    ] {
        sql.batch_execute(settle).await.unwrap();
        sql.batch_execute(statement).await.unwrap();
        notice(&loader).await;
        assert_eq!(loader.count(due).await, expected, "{statement}");
    }
    let strangers = "select count(*) from document_load where uri in ('s3://bbb/5', 's3://bbb/6')";
    assert_eq!(loader.count(strangers).await, 0);

    sql.batch_execute("insert into document_chunk (uri, chunk_order, text, start_char, end_char) values ('s3://bbb/7', 0, '', 0, 0); truncate document")
        .await
        .unwrap();
    assert_eq!(loader.count("select count(*) from document_chunk").await, 0);
    notice(&loader).await;
    assert_eq!(loader.count("select count(*) from document_load").await, 0);
}

#[tokio::test]
async fn a_change_that_is_rolled_back_is_not_noticed() {
    let loader = start().await;
    execute(
        &loader,
        "begin; insert into document (uri, title) values ('s3://bbb/1', ''); rollback",
    )
    .await;
    notice(&loader).await;
    assert_eq!(loader.count("select count(*) from document_load").await, 0);
}

#[tokio::test]
async fn documents_that_were_there_before_are_found() {
    let documents = "insert into document (uri, title) select 's3://bbb/' || n, '' from generate_series(1, 12000) as n";
    let loader = start_on(&[DOCUMENT, documents]).await;
    notice(&loader).await;
    assert_eq!(
        loader
            .count("select count(*) from document_load where state = 'pending'")
            .await,
        12000
    );
    assert_eq!(
        loader
            .count("select count(*) from document_load_comparison where finished_at is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn what_no_trigger_told_of_is_found_by_the_daily_comparison() {
    let loader = start().await;
    execute(&loader, "insert into document (uri, title, etag) values ('s3://bbb/1', '', '1'), ('s3://bbb/2', '', '1'), ('s3://bbb/3', '', '1')").await;
    notice(&loader).await;
    // As a restore or a replication writes, past the triggers.
    execute(
        &loader,
        "set session_replication_role = replica;
            update document_load set state = 'loaded', next_attempt_at = null;
            delete from document where uri = 's3://bbb/1';
            update document set etag = '2' where uri = 's3://bbb/2';
            insert into document (uri, title) values ('s3://bbb/4', '');
            set session_replication_role = origin",
    )
    .await;
    notice(&loader).await;
    assert_eq!(
        loader
            .count("select count(*) from document_load where state = 'pending'")
            .await,
        0,
        "not due yet"
    );
    execute(
        &loader,
        "update document_load_comparison set finished_at = finished_at - interval '25 hours'",
    )
    .await;
    notice(&loader).await;
    insta::assert_snapshot!(loader.states().await, @"
    s3://bbb/2 | pending | - | 0
    s3://bbb/3 | loaded | - | 0
    s3://bbb/4 | pending | - | 0
    ");
}

#[tokio::test]
async fn tables_of_other_shapes_are_watched_as_well() {
    for (table, statements, expected) in [
        // Nothing tells whether a document changed, so every update may have.
        (
            "create table document (uri text primary key, title text)",
            "update document set title = 'x' where uri = 's3://bbb/1'",
            1,
        ),
        // The time of writing does.
        (
            "create table document (uri varchar(500) unique, title text, updated_at timestamptz)",
            "update document set title = 'x'; update document set updated_at = now() where uri = 's3://bbb/1'",
            1,
        ),
        // Another collation, no index, and every URI twice.
        (
            "create table document (uri text collate \"en-x-icu\", title text, etag text)",
            "insert into document values ('s3://bbb/1', '', '1'); update document set etag = '2'",
            2,
        ),
        (
            "create table document (uri text, title text, etag text) partition by hash (uri);
            create table document_1 partition of document for values with (modulus 2, remainder 0);
            create table document_2 partition of document for values with (modulus 2, remainder 1)",
            "update document set etag = '2' where uri = 's3://bbb/1'",
            1,
        ),
    ] {
        let documents =
            "insert into document (uri, title) values ('s3://bbb/1', ''), ('s3://bbb/2', '')";
        let loader = start_on(&[table, documents]).await;
        assert_eq!(claim(&loader).await.len(), 2, "{table}");
        let sql = &loader.sql;
        sql.batch_execute(
            "update document_load set state = 'loaded', lease = null, next_attempt_at = null",
        )
        .await
        .unwrap();
        sql.batch_execute(statements).await.unwrap();
        assert_eq!(claim(&loader).await.len(), expected, "{table}");
        sql.batch_execute("delete from document where uri = 's3://bbb/1'")
            .await
            .unwrap();
        notice(&loader).await;
        assert_eq!(
            loader.count("select count(*) from document_load").await,
            1,
            "{table}"
        );
    }
}

#[tokio::test]
async fn a_document_is_handed_to_one_at_a_time_until_its_lease_is_over() {
    let loader = start().await;
    loader.enter("s3://bbb/1", Some("1"), None, None).await;
    let first = claim(&loader).await;
    assert_eq!((first[0].attempts, first[0].crashes), (1, 0));
    assert!(claim(&loader).await.is_empty());
    assert!(
        loader
            .function
            .queue
            .claim_one("s3://bbb/1")
            .await
            .unwrap()
            .is_none()
    );
    loader.pass_time().await;
    assert!(
        claim(&loader).await.is_empty(),
        "its loader may have died at it"
    );
    let suspects = Request {
        lane: Lane::Suspect,
        ..ANY
    };
    let second = loader.function.queue.claim(suspects).await.unwrap();
    assert_eq!((second[0].attempts, second[0].crashes), (2, 1));
    // The first comes back from the dead, and finds that it is not his any more.
    let settled = settle(&loader, &first, failed(Reason::Missing)).await;
    assert!(settled.states.is_empty());
    let settled = settle(&loader, &second, failed(Reason::Denied)).await;
    assert_eq!(settled.states.len(), 1);
    assert_eq!(loader.state("s3://bbb/1").await, "parked: denied");
}

#[tokio::test]
async fn sources_take_turns() {
    let loader = start().await;
    execute(&loader, "select add_source('s3://big/'), add_source('s3://small/');
            insert into document (uri, title) select 's3://big/' || n, '' from generate_series(1, 500) as n;
            insert into document (uri, title) select 's3://none/' || n, '' from generate_series(1, 500) as n;").await;
    notice(&loader).await;
    execute(
        &loader,
        "insert into document (uri, title) values ('s3://small/1', ''), ('s3://small/2', '')",
    )
    .await;
    notice(&loader).await;
    let six = Request { limit: 6, ..ANY };
    let claims = loader.function.queue.claim(six).await.unwrap();
    let of = |prefix: &str| {
        claims
            .iter()
            .filter(|claim| claim.uri.starts_with(prefix))
            .count()
    };
    assert_eq!(
        (of("s3://big/"), of("s3://none/"), of("s3://small/")),
        (2, 2, 2)
    );

    // Those in hand count as turns, and no source has more than its share.
    let small = claims
        .iter()
        .find(|claim| claim.uri.starts_with("s3://small/"))
        .unwrap();
    let big = claims
        .iter()
        .find(|claim| claim.uri.starts_with("s3://big/"))
        .unwrap();
    let in_hand = [(big.source.id, 3), (0, 0), (small.source.id, 0)];
    let request = Request {
        limit: 4,
        each: 4,
        in_hand: &in_hand,
        ..ANY
    };
    let claims = loader.function.queue.claim(request).await.unwrap();
    assert!(
        claims
            .iter()
            .filter(|claim| claim.uri.starts_with("s3://big/"))
            .count()
            <= 1
    );
    assert_eq!(claims.len(), 4);
}

#[tokio::test]
async fn a_blocked_source_is_left_alone_and_its_documents_say_so() {
    let loader = start().await;
    execute(&loader, "select add_source('s3://bbb/', 'arn:aws:iam::123456789012:role/r'); insert into document (uri, title) values ('s3://bbb/1', ''), ('s3://bbb/2', ''), ('s3://ccc/1', '')").await;
    let claims = claim(&loader).await;
    let of_b: Vec<(Claim, Outcome)> = claims
        .iter()
        .filter(|claim| claim.uri == "s3://bbb/1")
        .map(|claim| (claim.clone(), failed(Reason::RoleDenied)))
        .collect();
    loader.function.queue.settle(&of_b).await.unwrap();
    assert!(claim(&loader).await.is_empty());
    assert_eq!(loader.state("s3://bbb/1").await, "parked: role_denied");
    let attempts = "select attempts::bigint from document_load where uri = 's3://bbb/1'";
    assert_eq!(loader.count(attempts).await, 0, "it had no try");

    execute(
        &loader,
        "select change_source('s3://bbb/', region => 'eu-west-1')",
    )
    .await;
    let claims = claim(&loader).await;
    assert_eq!(uris(&claims), ["s3://bbb/1"]);
    assert_eq!(claims[0].source.region.as_deref(), Some("eu-west-1"));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_a_limited_number_of_times() {
    let loader = start().await;
    execute(&loader, "select add_source('s3://bbb/', retries => 2)").await;
    loader.enter("s3://bbb/1", Some("1"), None, None).await;
    let mut states = Vec::new();
    for _ in 0..3 {
        let claims = claim(&loader).await;
        settle(&loader, &claims, failed(Reason::Unavailable)).await;
        states.push(loader.state("s3://bbb/1").await);
        assert!(claim(&loader).await.is_empty(), "not at once");
        loader.pass_time().await;
    }
    assert_eq!(
        states,
        [
            "retry: unavailable",
            "retry: unavailable",
            "failed: unavailable"
        ]
    );
    assert!(claim(&loader).await.is_empty());
    assert_eq!(
        loader
            .count("select count(*) from document_load_error")
            .await,
        3
    );

    // A new version begins anew.
    loader.enter("s3://bbb/1", Some("2"), None, None).await;
    assert_eq!(claim(&loader).await[0].attempts, 1);
}

#[tokio::test]
async fn parked_documents_are_looked_at_after_ever_longer_pauses_and_never_fail() {
    let loader = start().await;
    loader.enter("s3://bbb/1", Some("1"), None, None).await;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let claims = claim(&loader).await;
        settle(&loader, &claims, failed(Reason::Denied)).await;
        assert_eq!(loader.state("s3://bbb/1").await, "parked: denied");
        pauses.push(loader.count("select extract(epoch from next_attempt_at - current_timestamp)::bigint from document_load").await);
        loader.pass_time().await;
    }
    assert!((149..=300).contains(&pauses[0]), "{pauses:?}");
    assert!((43_199..=86_400).contains(&pauses[11]), "{pauses:?}");
    assert_eq!(
        loader
            .count("select count(*) from document_load_error")
            .await,
        10,
        "the last ten are kept"
    );

    // And what may pass is still tried as often as if it had never been parked.
    let claims = claim(&loader).await;
    settle(&loader, &claims, failed(Reason::Unavailable)).await;
    assert_eq!(loader.state("s3://bbb/1").await, "retry: unavailable");
}

#[tokio::test]
async fn what_changes_while_it_is_read_is_due_again_and_not_written() {
    let loader = start().await;
    for (change, is_noticed) in [
        ("update document set etag = '2'", true),
        ("update document set etag = '3'", false),
        ("select requeue('s3://bbb/1')", false),
    ] {
        execute(&loader, "truncate document; insert into document (uri, title, etag) values ('s3://bbb/1', '', '1')").await;
        let claims = claim(&loader).await;
        execute(&loader, change).await;
        if is_noticed {
            notice(&loader).await;
            assert!(claim(&loader).await.is_empty(), "it is in hand");
        }
        let chunk = document_loader::splitter::Chunk {
            order: 0,
            bytes: 0..3,
            characters: 0..3,
            page: None,
            headings: [].into(),
        };
        let chunks = document_loader::Chunks::new("old", [chunk]);
        settle(
            &loader,
            &claims,
            Outcome::Loaded(Content::default(), chunks),
        )
        .await;
        assert_eq!(loader.text("s3://bbb/1").await, "", "{change}");
        let again = claim(&loader).await;
        assert_eq!(uris(&again), ["s3://bbb/1"], "{change}");
        assert_eq!(again[0].attempts, 1, "{change}");
        execute(&loader, "delete from document").await;
        notice(&loader).await;
    }
}

#[tokio::test]
async fn what_is_deleted_while_it_is_read_leaves_nothing() {
    let loader = start().await;
    loader.enter("s3://bbb/1", Some("1"), None, None).await;
    let claims = claim(&loader).await;
    loader.remove("s3://bbb/1").await;
    settle(&loader, &claims, failed(Reason::Missing)).await;
    assert_eq!(loader.states().await, "");
    assert_eq!(
        loader
            .count("select count(*) from document_load_error")
            .await,
        0
    );
}

#[tokio::test]
async fn a_deletion_in_progress_is_waited_for_without_holding_anybody_up() {
    let loader = start().await;
    loader.enter("s3://bbb/1", Some("1"), None, None).await;
    let claims = claim(&loader).await;
    let other = loader.postgres.connect().await;
    other
        .batch_execute("begin; delete from document")
        .await
        .unwrap();
    let empty = || Outcome::Loaded(Content::default(), document_loader::Chunks::default());
    let settled = settle(&loader, &claims, empty()).await;
    assert_eq!(settled.busy, ["s3://bbb/1"]);
    other.batch_execute("commit").await.unwrap();
    let settled = settle(&loader, &claims, empty()).await;
    assert!(settled.busy.is_empty() && settled.states.is_empty());
    assert_eq!(loader.states().await, "");
}

#[tokio::test]
async fn rights_that_are_missing_are_told_with_the_statement_that_gives_them() {
    let loader = start().await;
    execute(
        &loader,
        "create role reader login; grant usage on schema public to reader",
    )
    .await;
    let url = loader.postgres.url().replacen("holdfast@", "reader@", 1);
    let role = document_loader::DocumentLoader::with_amazon(config(&url), loader.store.amazon());
    let error = role.queue.prepare().await.unwrap_err();
    let text = shared::telemetry::chain(&error).to_string();
    assert!(
        text.contains("grant select on document_loader_migration to \"reader\";"),
        "{text}"
    );
    let grants = text
        .split_once("run as their owner: ")
        .unwrap()
        .1
        .to_owned();
    execute(&loader, &grants).await;
    let error = match role.queue.prepare().await {
        Ok(()) => String::new(),
        Err(error) => shared::telemetry::chain(&error).to_string(),
    };
    if let Some((_, grants)) = error.split_once("run as their owner: ") {
        execute(&loader, grants).await;
        role.queue.prepare().await.unwrap();
    }
}
