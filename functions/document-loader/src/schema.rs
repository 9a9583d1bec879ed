//! What the function needs in the database: its own tables and SQL functions, made when they are missing, and the
//! triggers on the documents table.

use shared::database::{Migrations, TableName, grant, quoted};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::table::{Parameter, Table, TableError};

const MIGRATIONS: Migrations = Migrations {
    table: "document_loader_migration",
    lock: 0x0064_6f63_6c6f_6164, // the bytes of `docload`
    scripts: &[
        include_str!("../migrations/1_sources.sql"),
        include_str!("../migrations/2_queue.sql"),
        include_str!("../migrations/3_chunks.sql"),
        include_str!("../migrations/4_watch.sql"),
    ],
};

/// The tables of the migrations, on which the role needs all four rights.
const OWN: &str = "document_source, document_loader_setting, document_change, document_load, document_load_error, document_load_comparison, document_chunk";
const RIGHTS: [&str; 4] = ["select", "insert", "update", "delete"];

/// One row: whether rights are missing, and whose.
const LACKING: &str = "
    select current_user::text, exists (
        select from
            unnest(array['document_source', 'document_loader_setting', 'document_change', 'document_load',
                'document_load_error', 'document_load_comparison', 'document_chunk']) as own (name),
            unnest(array['select', 'insert', 'update', 'delete']) as needed (privilege)
        where not has_table_privilege(own.name, needed.privilege)
    )";

/// One row: who asks, where tables would be made, and whether ours are there.
const PLACE: &str = "
    select current_user::text, quote_ident(coalesce(current_schema(), 'public')), to_regclass($1) is not null";

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
    let own = match MIGRATIONS.apply(client).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Some(forbidden(client).await?)
        }
        Err(error) => return Err(Unfit::Failed(error)),
        Ok(()) => None,
    };
    let (table, own) = tokio::join!(Table::find(client, name), async {
        match own {
            Some(lacking) => Ok(Some(lacking)),
            None => lacking(client).await,
        }
    });
    let table = table?;
    if let Some((role, mut grants)) = own? {
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
            MIGRATIONS.lock
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

/// The role, and what gives it the rights on our own tables that it lacks, if it does.
async fn lacking(client: &Client) -> Result<Option<(String, String)>, tokio_postgres::Error> {
    let row = client.query_typed_one(LACKING, &[]).await?;
    let role: String = row.try_get(0)?;
    let is_lacking: bool = row.try_get(1)?;
    let grants = grant(&RIGHTS, OWN, &role);
    Ok(is_lacking.then_some((role, grants)))
}

/// The role, and what it needs: it may not read which migrations have been applied, or may not make the tables.
async fn forbidden(client: &Client) -> Result<(String, String), tokio_postgres::Error> {
    let parameters: [Parameter<'_>; 1] = [(&MIGRATIONS.table, Type::TEXT)];
    let row = client.query_typed_one(PLACE, &parameters).await?;
    let (role, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let grants = if row.try_get(2)? {
        let read = grant(&["select"], MIGRATIONS.table, &role);
        format!("{read} {}", grant(&RIGHTS, OWN, &role))
    } else {
        format!(
            "grant create on schema {schema} to {}; /* or let an owner make the tables: docs/operating.md */",
            quoted(&role)
        )
    };
    Ok((role, grants))
}
