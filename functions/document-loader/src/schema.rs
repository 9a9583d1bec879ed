//! What the function needs in the database: its own tables and SQL functions, made when they are missing, and the
//! triggers on the documents table.

use shared::database::{Lacking, Migrations, OwnTables, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::table::{Parameter, Table, TableError};

const OWN: OwnTables = OwnTables {
    migrations: Migrations {
        table: "document_loader_migration",
        lock: 0x0064_6f63_6c6f_6164, // the bytes of `docload`
        scripts: &[
            include_str!("../migrations/1_sources.sql"),
            include_str!("../migrations/2_queue.sql"),
            include_str!("../migrations/3_chunks.sql"),
            include_str!("../migrations/4_watch.sql"),
        ],
    },
    names: &[
        "document_source",
        "document_loader_setting",
        "document_change",
        "document_load",
        "document_load_error",
        "document_load_comparison",
        "document_chunk",
    ],
};

/// Whom customers' roles have to trust, for the policies that SQL functions write.
const NOTE_ROLE: &str = "
    insert into document_loader_setting as known (name, value) values ('function_role_arn', $1)
    on conflict (name) do update set value = excluded.value where known.value <> excluded.value";

/// Why the database cannot be used as it is.
#[derive(Debug)]
pub(crate) enum Unfit {
    Table(TableError),
    Failed(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Unfit {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error)
    }
}

/// Makes what is missing, as far as the role may, and looks at the documents table. What rights it lacks is told all
/// at once.
pub(crate) async fn prepare(
    client: &Client,
    name: Option<&TableName>,
    role_arn: Option<&str>,
) -> Result<Table, Unfit> {
    let own = OWN.make(client).await?;
    let (table, own) = tokio::join!(Table::find(client, name), async {
        match own {
            Some(lacking) => Ok(Some(lacking)),
            None => OWN.lacking(client).await,
        }
    });
    let table = table?;
    if let Some(Lacking { role, mut grants }) = own? {
        if let Err(TableError::Rights { grants: others, .. }) = table {
            grants = format!("{grants} {others}");
        }
        return Err(Unfit::Table(TableError::Rights { role, grants }));
    }
    let table = table.map_err(Unfit::Table)?;
    if !table.is_watched {
        watch(client, &table).await?;
    }
    if let Some(role_arn) = role_arn {
        client
            .execute_typed(NOTE_ROLE, &[(&role_arn, Type::TEXT)])
            .await?;
    }
    Ok(table)
}

/// Puts the triggers onto the documents table. Two instances that start together do it one after the other.
async fn watch(client: &Client, table: &Table) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "begin; select pg_advisory_xact_lock({})",
            OWN.migrations.lock
        ))
        .await?;
    let parameters: [Parameter<'_>; 1] = [(&table.name, Type::TEXT)];
    let watched = client
        .execute_typed("select watch_documents(to_regclass($1))", &parameters)
        .await;
    client
        .batch_execute(if watched.is_ok() {
            "commit"
        } else {
            "rollback"
        })
        .await?;
    watched?;
    tracing::info!(table = table.name, "watching the table {}", table.name);
    Ok(())
}
