//! What the function needs in the database: its own tables, made when they are missing, and the documents table.

use shared::database::Migrations;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::table::{Table, TableError, TableName, grant};

const MIGRATIONS: Migrations = Migrations {
    table: "document_sync_migration",
    lock: 0x0064_6f63_7379_6e63, // the bytes of `docsync`
    scripts: &[
        include_str!("../migrations/1_ledger.sql"),
        include_str!("../migrations/2_quarantine.sql"),
        include_str!("../migrations/3_reconcile.sql"),
    ],
};

/// The tables of the migrations, on which the role needs all four rights.
const OWN: &str = "s3_object, quarantine, reconcile_run, reconcile_surplus";
const RIGHTS: [&str; 4] = ["select", "insert", "update", "delete"];

/// One row: whether rights are missing, and whose.
const LACKING: &str = "
    select current_user::text, exists (
        select from
            unnest(array['s3_object', 'quarantine', 'reconcile_run', 'reconcile_surplus']) as own (name),
            unnest(array['select', 'insert', 'update', 'delete']) as needed (privilege)
        where not has_table_privilege(own.name, needed.privilege)
    )";

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

/// Makes what is missing, as far as the role may, and looks at the documents table.
pub(crate) async fn prepare(client: &Client, name: Option<&TableName>) -> Result<Table, Unfit> {
    if let Err(error) = MIGRATIONS.apply(client).await {
        return Err(match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => forbidden(client).await?,
            _ => Unfit::Failed(error),
        });
    }
    let (table, lacking) = tokio::join!(
        Table::find(client, name, MIGRATIONS.lock),
        client.query_typed_one(LACKING, &[])
    );
    let lacking = lacking?;
    if lacking.try_get(1)? {
        let role: String = lacking.try_get(0)?;
        let grants = grant(&RIGHTS, OWN, &role);
        return Err(Unfit::Table(TableError::Rights { role, grants }));
    }
    match table {
        Ok(found) => found.map_err(Unfit::Table),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(forbidden(client).await?)
        }
        Err(error) => Err(Unfit::Failed(error)),
    }
}

/// The role may not read which migrations have been applied, or may not make the tables.
async fn forbidden(client: &Client) -> Result<Unfit, tokio_postgres::Error> {
    let query = "select current_user::text, quote_ident(coalesce(current_schema(), 'public')), to_regclass($1) is not null";
    let parameters: [crate::ledger::Parameter<'_>; 1] =
        [(&MIGRATIONS.table, tokio_postgres::types::Type::TEXT)];
    let row = client.query_typed_one(query, &parameters).await?;
    let (role, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let grants = if row.try_get(2)? {
        format!(
            "{} {}",
            grant(&["select"], MIGRATIONS.table, &role),
            grant(&RIGHTS, OWN, &role)
        )
    } else {
        format!(
            "grant create on schema {schema} to \"{}\"; (or let an owner make the tables once, by running the function with his DATABASE_URL)",
            role.replace('"', "\"\"")
        )
    };
    Ok(Unfit::Table(TableError::Rights { role, grants }))
}
