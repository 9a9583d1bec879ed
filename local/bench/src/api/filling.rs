//! A bucket of artifacts, and an index of them and of many others.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut, stream};
use registry::access::token::{Key, Keys};
use registry::audit::Trail;
use registry::index::Index;
use registry::index::rebuild::{Order, Progress};
use registry::record::Record;
use registry::registry::Registry;
use registry::relation::Member;
use registry::store::{BucketObjects, Objects};
use shared::database::{Database, Url};
use shared::s3::S3;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::artifacts::{Mould, id, key};
use crate::Failure;
use crate::lambda::connect;

/// Objects that are written at a time.
const PARALLEL: usize = 64;
/// Records that one thread makes at a time.
const CHUNK: usize = 2_000;
const THREADS: usize = 4;

/// Puts the first so many artifacts into a new bucket.
pub(super) async fn fill_bucket(
    client: &Client,
    bucket: &str,
    mould: &Mould,
    artifacts: usize,
) -> Result<(), Failure> {
    client.create_bucket().bucket(bucket).send().await?;
    stream::iter(1..=artifacts)
        .map(|number| async move {
            let put = client.put_object().bucket(bucket).key(key(number));
            put.body(mould.bytes(number).into()).send().await?;
            Ok::<_, Failure>(())
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
}

/// Lets the registry make an index of what is in the bucket.
pub(super) async fn index_bucket(client: &Client, bucket: &str, url: &str) -> Result<(), Failure> {
    let address: Url = url.parse()?;
    let index = Index::new(Database::new(address.into()), bucket);
    let objects = BucketObjects::new(S3::with_client(client.clone()).bucket(bucket));
    let objects = Objects::S3(objects);
    let keys = Keys::new(Key::random()?, vec![], "bench", "bench");
    let registry = Registry::new(objects.clone(), Trail::new(objects, keys));
    let registry = registry.with_index(Some(Arc::new(index)));
    let deadline = tokio::time::Instant::now() + Duration::from_mins(5);
    let rebuilt = registry.rebuild_index(&Order::default(), deadline).await?;
    if rebuilt.state == Progress::Finished {
        Ok(())
    } else {
        Err("the index was not made in time".into())
    }
}

/// Adds the artifacts behind the first `known` ones, up to `artifacts`, to an index: the rows that the registry makes
/// of their records, without the records. Before that it makes the rows of those that are known as well, and compares.
pub(super) async fn fill_index(
    url: &str,
    mould: &Arc<Mould>,
    known: usize,
    artifacts: usize,
) -> Result<(), Failure> {
    let sql = connect(url).await?;
    sql.batch_execute(
        "create temporary table made_artifact (like registry_artifact including defaults);
        create temporary table made_relation (like registry_relation)",
    )
    .await?;
    copy(&sql, mould, 1, known, "made_artifact", "made_relation").await?;
    // What the registry made of the same records from the bucket. Tags and claims are the bucket's, and times the clock's.
    let row = sql
        .query_one(
            "with made as (select place, name, kind, description, member, format from made_artifact),
            indexed as (select place, name, kind, description, member, format from registry_artifact where place <> ''),
            made_keys as (table made_relation), indexed_keys as (select key, is_reference, place from registry_relation)
            select (select count(*) from ((table made except table indexed) union all (table indexed except table made)) as rows),
                (select count(*) from ((table made_keys except table indexed_keys)
                    union all (table indexed_keys except table made_keys)) as keys),
                (select count(*) from indexed), (select count(*) from indexed_keys)",
            &[],
        )
        .await?;
    let [rows, keys, indexed, relations]: [i64; 4] =
        [row.get(0), row.get(1), row.get(2), row.get(3)];
    if (rows, keys) != (0, 0) || usize::try_from(indexed)? != known || relations == 0 {
        return Err(format!(
            "{rows} rows and {keys} relations are not what the registry makes, of {indexed} and {relations}"
        )
        .into());
    }
    if artifacts > known {
        // All at once, and the indexes when all is there.
        let definitions = sql
            .query(
                "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
                where indrelid in ('registry_artifact'::regclass, 'registry_relation'::regclass) and not indisprimary",
                &[],
            )
            .await?;
        for row in &definitions {
            let name: &str = row.get(0);
            sql.batch_execute(&format!("drop index {name}")).await?;
        }
        let tables = ("registry_artifact", "registry_relation");
        copy(&sql, mould, known + 1, artifacts, tables.0, tables.1).await?;
        sql.batch_execute("set maintenance_work_mem = '512MB'")
            .await?;
        for row in &definitions {
            sql.batch_execute(row.get(1)).await?;
        }
    }
    // One by one: together they were a transaction, in which there is no vacuum.
    for statement in [
        "vacuum analyze registry_artifact",
        "vacuum analyze registry_relation",
        "checkpoint",
    ] {
        sql.batch_execute(statement).await?;
    }
    Ok(())
}

async fn copy(
    sql: &tokio_postgres::Client,
    mould: &Arc<Mould>,
    first: usize,
    last: usize,
    artifacts: &str,
    relations: &str,
) -> Result<(), Failure> {
    let statement = format!(
        "copy {artifacts} (place, stamp, etag, name, kind, description, member, has_claim, format) from stdin binary"
    );
    let format = "select max(format) from registry_artifact where place <> ''";
    let format: i16 = sql.query_one(format, &[]).await?.get(0);
    let types = [
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BOOL,
        Type::INT2,
    ];
    let mut keys: Vec<(String, bool, String)> = Vec::new();
    let writer = BinaryCopyInWriter::new(sql.copy_in(&statement).await?, &types);
    pin_mut!(writer);
    let chunks = stream::iter((first..=last).step_by(CHUNK)).map(|start| {
        let mould = Arc::clone(mould);
        tokio::task::spawn_blocking(move || {
            let numbers = start..(start + CHUNK).min(last + 1);
            numbers
                .map(|number| Ok((number, row(&mould.record(number)?)?)))
                .collect::<Result<Vec<_>, Failure>>()
        })
    });
    let mut chunks = chunks.buffered(THREADS);
    while let Some(rows) = chunks.next().await {
        for (number, (record, member, own)) in rows?? {
            let place = format!("{}/", id(number));
            let etag = format!("{number:032x}");
            let (description, kind) = (record.description(), record.kind.as_str());
            let columns: [&(dyn ToSql + Sync); 9] = [
                &place,
                &1_i64,
                &etag,
                &record.name,
                &kind,
                &description,
                &member,
                &true,
                &format,
            ];
            writer.as_mut().write(&columns).await?;
            keys.extend(
                own.into_iter()
                    .map(|(key, is_reference)| (key, is_reference, place.clone())),
            );
        }
    }
    writer.finish().await?;
    let statement = format!("copy {relations} (key, is_reference, place) from stdin binary");
    let types = [Type::TEXT, Type::BOOL, Type::TEXT];
    let writer = BinaryCopyInWriter::new(sql.copy_in(&statement).await?, &types);
    pin_mut!(writer);
    keys.sort_unstable();
    keys.dedup();
    for (key, is_reference, place) in &keys {
        writer.as_mut().write(&[key, is_reference, place]).await?;
    }
    writer.finish().await?;
    Ok(())
}

type Row = (Record, String, Vec<(String, bool)>);

/// A record with what it is to others: as JSON, and by keys of which some are references.
fn row(record: &Record) -> Result<Row, Failure> {
    let member = Member::of(record);
    let meant = member.meant().into_iter().map(|key| (key.to_owned(), true));
    let own = member.keys.iter().map(|key| (key.clone(), false));
    let keys = own.chain(meant).collect();
    Ok((record.clone(), serde_json::to_string(&member)?, keys))
}

/// Gives each of these artifacts one file.
pub(super) async fn put_files(
    client: &Client,
    bucket: &str,
    numbers: impl IntoIterator<Item = usize>,
) -> Result<(), Failure> {
    stream::iter(numbers)
        .map(|number| async move {
            let key = format!("artifacts/{}/files/model.safetensors", id(number));
            let put = client.put_object().bucket(bucket).key(key);
            put.body(vec![b'x'; 1024].into()).send().await?;
            Ok::<_, Failure>(())
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
}
