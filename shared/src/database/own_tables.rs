//! A function's own tables, and the rights that its role needs on them.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Migrations, grant, quoted};

/// What the role needs on each of the tables.
const RIGHTS: [&str; 4] = ["select", "insert", "update", "delete"];

/// One row: whether rights are missing, and whose.
const LACKING: &str = "
    select current_user::text, exists (
        select from unnest($1) as own (name), unnest($2) as needed (privilege)
        where not has_table_privilege(own.name, needed.privilege)
    )";

/// One row: who asks, where tables would be made, and whether ours are there.
const PLACE: &str = "
    select current_user::text, quote_ident(coalesce(current_schema(), 'public')), to_regclass($1) is not null";

/// The tables that a function's migrations make, on which its role needs all four rights.
#[derive(Debug, Clone, Copy)]
pub struct OwnTables {
    /// What makes them.
    pub migrations: Migrations,
    /// What they are called.
    pub names: &'static [&'static str],
}

/// A role, and the statements by which an owner gives it what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The role.
    pub role: String,
    /// The statements.
    pub grants: String,
}

impl OwnTables {
    /// Makes what is missing, as far as the role may; what it lacks for that is answered.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says otherwise.
    pub async fn make(&self, client: &Client) -> Result<Option<Lacking>, tokio_postgres::Error> {
        match self.migrations.apply(client).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.forbidden(client).await.map(Some)
            }
            made => made.map(|()| None),
        }
    }

    /// The rights on the tables that the role lacks, if it does.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn lacking(&self, client: &Client) -> Result<Option<Lacking>, tokio_postgres::Error> {
        let row = client
            .query_typed_one(
                LACKING,
                &[
                    (&self.names, Type::TEXT_ARRAY),
                    (&RIGHTS.as_slice(), Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let role: String = row.try_get(0)?;
        let is_lacking: bool = row.try_get(1)?;
        let grants = self.grants(&role);
        Ok(is_lacking.then_some(Lacking { role, grants }))
    }

    /// What a role needs that may not read which migrations have been applied, or may not make the tables.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn forbidden(&self, client: &Client) -> Result<Lacking, tokio_postgres::Error> {
        let row = client
            .query_typed_one(PLACE, &[(&self.migrations.table, Type::TEXT)])
            .await?;
        let (role, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let grants = if row.try_get(2)? {
            let read = grant(&["select"], self.migrations.table, &role);
            format!("{read} {}", self.grants(&role))
        } else {
            format!(
                "grant create on schema {schema} to {}; /* or let an owner make the tables: docs/operating.md */",
                quoted(&role)
            )
        };
        Ok(Lacking { role, grants })
    }

    fn grants(&self, role: &str) -> String {
        grant(&RIGHTS, &self.names.join(", "), role)
    }
}
