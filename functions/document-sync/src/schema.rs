//! What the function needs in the database: its own tables, made when they are missing, and the documents table.

use shared::database::{Lacking, Migrations, OwnTables};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::table::{Table, TableError, TableName};

const OWN: OwnTables = OwnTables {
    migrations: Migrations {
        table: "document_sync_migration",
        lock: 0x0064_6f63_7379_6e63, // the bytes of `docsync`
        scripts: &[
            include_str!("../migrations/1_ledger.sql"),
            include_str!("../migrations/2_quarantine.sql"),
            include_str!("../migrations/3_reconcile.sql"),
        ],
    },
    names: &[
        "s3_object",
        "quarantine",
        "reconcile_run",
        "reconcile_surplus",
    ],
};

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
    let own = OWN.make(client).await?;
    let (table, own) = tokio::join!(Table::find(client, name, OWN.migrations.lock), async {
        match own {
            Some(lacking) => Ok(Some(lacking)),
            None => OWN.lacking(client).await,
        }
    });
    let table = match table {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let Lacking { role, grants } = OWN.forbidden(client).await?;
            Err(TableError::Rights { role, grants })
        }
        table => table?,
    };
    let Some(Lacking { role, mut grants }) = own? else {
        return table.map_err(Unfit::Table);
    };
    if let Err(TableError::Rights { grants: others, .. }) = table
        && !grants.contains(&others)
    {
        grants = format!("{grants} {others}");
    }
    Err(Unfit::Table(TableError::Rights { role, grants }))
}
