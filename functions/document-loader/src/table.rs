//! The documents table, whoever writes it.

use shared::database::{TableName, grant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// What `document-sync` makes where no table is named.
const DEFAULT_NAME: &str = "document";

/// One row: what the table is called with every quote it needs, or null, and what this role may do with it.
const TABLE: &str = "
    select to_regclass($1)::text, current_user::text,
        has_any_column_privilege(to_regclass($1), 'select'),
        has_any_column_privilege(to_regclass($1), 'update'),
        has_table_privilege(to_regclass($1), 'trigger'),
        (select count(*) from pg_trigger
            where tgrelid = to_regclass($1) and tgname like 'document\\_loader\\_%' and not tgisinternal)";

/// Its columns, each with the name of its collation.
const COLUMNS: &str = "
    select attname::text, atttypid, case when attcollation = 0 then null else attcollation::regcollation::text end
    from pg_attribute
    where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";

/// How many triggers `watch_documents()` makes.
const TRIGGERS: i64 = 4;

/// A parameter and its type: with the type told, a statement needs no preparation.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why the database cannot be used. Nothing is loaded until its owner has changed that.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such table.
    #[error(
        "there is no table {0}: deploy document-sync first, which makes it, or name yours in DOCUMENT_TABLE"
    )]
    Missing(String),
    /// A column without which there is nothing to go by.
    #[error("the table {0} has no column uri of type text")]
    Column(String),
    /// Rights that the role lacks.
    #[error("the role {role} lacks rights: run as their owner: {grants}")]
    Rights {
        /// The role.
        role: String,
        /// The statements that help.
        grants: String,
    },
}

/// The documents table as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// As statements name it, with its schema where that is needed, and quotes.
    pub(crate) name: String,
    /// Added to a text that is compared with its `uri`, so that the index there serves.
    pub(crate) collate: String,
    /// Expressions for what a row `document` says of the object, null where there is no such column.
    pub(crate) etag: &'static str,
    pub(crate) version_id: &'static str,
    pub(crate) size: &'static str,
    /// Whether its triggers are those of `watch_documents()`.
    pub(crate) is_watched: bool,
}

impl Table {
    /// Looks at the table.
    ///
    /// # Errors
    ///
    /// PostgreSQL's, or [`TableError`] for a table that cannot be used.
    pub(crate) async fn find(
        client: &Client,
        name: Option<&TableName>,
    ) -> Result<Result<Self, TableError>, tokio_postgres::Error> {
        let asked = name.map_or(DEFAULT_NAME, TableName::as_str);
        let parameters: [Parameter<'_>; 1] = [(&asked, Type::TEXT)];
        let (table, columns) = tokio::join!(
            client.query_typed_one(TABLE, &parameters),
            client.query_typed(COLUMNS, &parameters),
        );
        describe(asked, &table?, &columns?)
    }
}

fn describe(
    asked: &str,
    row: &Row,
    columns: &[Row],
) -> Result<Result<Table, TableError>, tokio_postgres::Error> {
    let Some(name) = row.try_get::<_, Option<String>>(0)? else {
        return Ok(Err(TableError::Missing(asked.to_owned())));
    };
    let role: String = row.try_get(1)?;
    let is_watched = row.try_get::<_, i64>(5)? == TRIGGERS;
    let mut lacking = Vec::new();
    for (index, right) in (2..).zip(["select", "update (uri)", "trigger"]) {
        // Who need not make the triggers needs no right to.
        if !(row.try_get::<_, bool>(index)? || right == "trigger" && is_watched) {
            lacking.push(right);
        }
    }
    if !lacking.is_empty() {
        let grants = grant(&lacking, &name, &role);
        return Ok(Err(TableError::Rights { role, grants }));
    }

    let mut collate = None;
    let (mut etag, mut version_id, mut size) = ("null::text", "null::text", "null::bigint");
    for row in columns {
        let (column, oid): (&str, u32) = (row.try_get(0)?, row.try_get(1)?);
        let collation: Option<String> = row.try_get(2)?;
        let is_number = matches!(
            Type::from_oid(oid),
            Some(Type::INT8 | Type::INT4 | Type::NUMERIC)
        );
        match (column, collation) {
            ("uri", Some(collation)) => collate = Some(format!("collate {collation}")),
            ("etag", Some(_)) => etag = "document.etag::text",
            ("version_id", Some(_)) => version_id = "document.version_id::text",
            ("size", _) if is_number => size = "document.size::bigint",
            _ => {}
        }
    }
    let Some(collate) = collate else {
        return Ok(Err(TableError::Column(name)));
    };
    Ok(Ok(Table {
        name,
        collate,
        etag,
        version_id,
        size,
        is_watched,
    }))
}
