//! The index's tables, made when they are missing, and what the database can do with them.

use shared::database::{Migrations, grant, quoted};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const MIGRATIONS: Migrations = Migrations {
    table: "registry_migration",
    lock: 0x7265_6769_7374_7279, // the bytes of `registry`
    scripts: &[
        include_str!("../../migrations/1_index.sql"),
        include_str!("../../migrations/2_access.sql"),
        include_str!("../../migrations/3_whole.sql"),
        include_str!("../../migrations/4_trail.sql"),
    ],
};

/// One row: who asks, whether rights are missing, whether searches have an index, and whether letters beyond ASCII
/// are words to it.
const LOOK: &str = "
    select current_user::text,
        exists (
            select from
                unnest(array['registry_artifact', 'registry_relation', 'registry_unsettled', 'registry_rebuild',
                    'registry_token', 'registry_login', 'registry_trail']) as own (name),
                unnest(array['select', 'insert', 'update', 'delete']) as needed (privilege)
            where not has_table_privilege(own.name, needed.privilege)
        ),
        to_regclass('registry_artifact_text') is not null,
        (select datctype not in ('C', 'POSIX') from pg_database where datname = current_database())";

/// What a database can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// There is an index of the three-letter parts of names and descriptions.
    pub(super) has_trigrams: bool,
    /// Letters beyond ASCII have such parts, too.
    pub(super) has_foreign_letters: bool,
}

/// Why a database cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the role {role} lacks rights: {advice}")]
    Rights { role: String, advice: String },
    #[error(transparent)]
    Failed(#[from] tokio_postgres::Error),
}

/// Makes what is missing, and tells what there is.
pub(super) async fn prepare(client: &Client) -> Result<Abilities, Unfit> {
    if let Err(error) = MIGRATIONS.apply(client).await {
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return Err(error.into());
        }
        let row = client
            .query_typed_one(
                "select current_user::text, quote_ident(coalesce(current_schema(), 'public'))",
                &[],
            )
            .await?;
        let (role, schema): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let advice = format!(
            "grant create on schema {schema} to {}; /* or let an owner make the tables */",
            quoted(&role)
        );
        return Err(Unfit::Rights { role, advice });
    }
    let row = client.query_typed_one(LOOK, &[]).await?;
    let role: String = row.try_get(0)?;
    if row.try_get(1)? {
        let advice = grant(
            &["select", "insert", "update", "delete"],
            "registry_artifact, registry_relation, registry_unsettled, registry_rebuild, registry_token, registry_login, registry_trail",
            &role,
        );
        return Err(Unfit::Rights { role, advice });
    }
    Ok(Abilities {
        has_trigrams: row.try_get(2)?,
        has_foreign_letters: row.try_get(3)?,
    })
}
