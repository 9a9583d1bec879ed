//! What the function needs in the database: its own tables, made when they are missing, and the documents table.

use shared::database::{Migrations, grant, quoted};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::ledger::Parameter;
use crate::table::{Table, TableError, TableName};

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

/// One row: who asks, where tables would be made, and whether ours are there.
const PLACE: &str = "
    select current_user::text, quote_ident(coalesce(current_schema(), 'public')), to_regclass($1) is not null";

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
pub(crate) async fn prepare(client: &Client, name: Option<&TableName>) -> Result<Table, Unfit> {
    let own = match MIGRATIONS.apply(client).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Some(forbidden(client).await?)
        }
        Err(error) => return Err(Unfit::Failed(error)),
        Ok(()) => None,
    };
    let (table, own) = tokio::join!(Table::find(client, name, MIGRATIONS.lock), async {
        match own {
            Some(lacking) => Ok(Some(lacking)),
            None => lacking(client).await,
        }
    });
    let table = match table {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let (role, grants) = forbidden(client).await?;
            Err(TableError::Rights { role, grants })
        }
        table => table?,
    };
    let Some((role, mut grants)) = own? else {
        return table.map_err(Unfit::Table);
    };
    if let Err(TableError::Rights { grants: others, .. }) = table
        && !grants.contains(&others)
    {
        grants = format!("{grants} {others}");
    }
    Err(Unfit::Table(TableError::Rights { role, grants }))
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
