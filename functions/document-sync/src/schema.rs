//! The tables, created by the function itself when they are missing.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Every change to the schema, in order. What has been released is never edited.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/1_documents.sql")];

/// The advisory lock under which one of several starting instances migrates; the bytes of `docsync`.
const LOCK: i64 = 0x0064_6f63_7379_6e63;

/// Brings the schema up to date. One query when it is.
///
/// Safe when many instances start together: one migrates, the others wait and find it done.
pub(crate) async fn migrate(client: &Client) -> Result<(), tokio_postgres::Error> {
    if version(client).await? >= MIGRATIONS.len() {
        return Ok(());
    }
    // In one transaction: a process killed in here leaves the schema as it was.
    client
        .batch_execute(&format!("begin; select pg_advisory_xact_lock({LOCK})"))
        .await?;
    let migrated = migrate_locked(client).await;
    client
        .batch_execute(if migrated.is_ok() {
            "commit"
        } else {
            "rollback"
        })
        .await?;
    migrated
}

async fn migrate_locked(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "create table if not exists document_sync_migration (
                version    integer primary key,
                applied_at timestamptz not null default current_timestamp
            )",
        )
        .await?;
    let applied = version(client).await?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        client.batch_execute(migration).await?;
        let record = format!(
            "insert into document_sync_migration (version) values ({})",
            index + 1
        );
        client.batch_execute(&record).await?;
        tracing::info!(
            version = index + 1,
            "migrated the schema to version {}",
            index + 1
        );
    }
    Ok(())
}

/// How many migrations have been applied; 0 for an empty database.
async fn version(client: &Client) -> Result<usize, tokio_postgres::Error> {
    match client
        .query_typed_one("select max(version) from document_sync_migration", &[])
        .await
    {
        Ok(row) => {
            let version: Option<i32> = row.try_get(0)?;
            Ok(version
                .and_then(|version| usize::try_from(version).ok())
                .unwrap_or(0))
        }
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}
