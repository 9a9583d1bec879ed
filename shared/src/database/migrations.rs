//! A function's own tables, created by the function itself when they are missing.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Every change to the tables of one function, in order. What has been released is never edited.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The table that keeps which of them have been applied.
    pub table: &'static str,
    /// The advisory lock under which one of several starting instances migrates.
    pub lock: i64,
    /// Scripts of SQL, the first being version 1.
    pub scripts: &'static [&'static str],
}

impl Migrations {
    /// Brings the tables up to date. One query when they are.
    ///
    /// Safe when many instances start together: one migrates, the others wait and find it done.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says, above all when the role may not create tables. Nothing has changed then.
    pub async fn apply(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if self.version(client).await? >= self.scripts.len() {
            return Ok(());
        }
        // In one transaction: a process killed in here leaves the tables as they were.
        client
            .batch_execute(&format!(
                "begin; select pg_advisory_xact_lock({})",
                self.lock
            ))
            .await?;
        let migrated = self.apply_locked(client).await;
        client
            .batch_execute(if migrated.is_ok() {
                "commit"
            } else {
                "rollback"
            })
            .await?;
        migrated
    }

    async fn apply_locked(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let table = self.table;
        client
            .batch_execute(&format!(
                "create table if not exists {table} (
                    version    integer primary key,
                    applied_at timestamptz not null default current_timestamp
                )"
            ))
            .await?;
        let applied = self.version(client).await?;
        for (version, script) in (1..).zip(self.scripts).skip(applied) {
            client.batch_execute(script).await?;
            client
                .batch_execute(&format!("insert into {table} (version) values ({version})"))
                .await?;
            tracing::info!(table, version, "migrated the tables to version {version}");
        }
        Ok(())
    }

    /// How many migrations have been applied; 0 for an empty database.
    async fn version(&self, client: &Client) -> Result<usize, tokio_postgres::Error> {
        let query = format!("select max(version) from {}", self.table);
        match client.query_typed_one(&query, &[]).await {
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
}
