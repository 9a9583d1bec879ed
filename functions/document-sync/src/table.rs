//! The documents table: ours, or one that the user had before.

use std::fmt::Write as _;

use shared::database::grant;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

pub use shared::database::{InvalidTableName, TableName};

/// Made where no table is named.
const DEFAULT: &str = include_str!("../migrations/document.sql");
const DEFAULT_NAME: &str = "document";

// Three statements without joins: a new connection has nothing of the catalogue at hand yet, and a join of four of its
// tables costs it three times as much.

/// One row: what the table is called with every quote it needs, or null, and what this role may do with it.
const TABLE: &str = "
    select to_regclass($1)::text, current_user::text,
        has_any_column_privilege(to_regclass($1), 'select'),
        has_any_column_privilege(to_regclass($1), 'insert'),
        has_any_column_privilege(to_regclass($1), 'update'),
        has_table_privilege(to_regclass($1), 'delete')";

/// Its columns. One that the database computes itself is none that could be written.
const COLUMNS: &str = "
    select attname::text, atttypid, atttypmod, attnotnull and not atthasdef and attidentity = '', attnum
    from pg_attribute
    where attrelid = to_regclass($1) and attnum > 0 and not attisdropped and attgenerated = ''";

/// The columns that are unique by themselves.
const UNIQUE: &str = "
    select indkey[0] from pg_index
    where indrelid = to_regclass($1) and indisunique and indisvalid and indimmediate
        and indnkeyatts = 1 and indpred is null and indexprs is null";

/// Why the documents table cannot be used. Nothing is applied until its owner has changed that.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// `DOCUMENT_TABLE` names nothing.
    #[error("the table {0} that DOCUMENT_TABLE names does not exist")]
    Missing(String),
    /// A column without which there is nothing to keep.
    #[error("the table {table} has no column {column} of type text")]
    Column {
        /// The table.
        table: String,
        /// What it lacks.
        column: &'static str,
    },
    /// A column that every new row would violate.
    #[error(
        "the column {column} of the table {table} must have a value, and document-sync has none for it: give it a default"
    )]
    Required {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Rights that the role lacks.
    #[error("the role {role} lacks rights: run as their owner: {grants}")]
    Rights {
        /// The role.
        role: String,
        /// The statements that help.
        grants: String,
    },
}

/// The documents table as it was found, and the statements for it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// As statements name it, with its schema where that is needed, and quotes.
    pub(crate) name: String,
    /// Whether no two rows can have the same URI, so that a new document can be inserted without looking.
    pub(crate) is_unique: bool,
    pub(crate) columns: Columns,
    /// Documents that are new, without `on conflict`, which costs a third more. Fails should one be there after all.
    pub(crate) insert: String,
    /// Documents that were there before, or may have been. The parameters are those of `insert`, and whether the
    /// ledger says that the document changed; without that, a row that is right already stays untouched.
    pub(crate) overwrite: String,
    /// Documents gone, by URI.
    pub(crate) remove: String,
}

/// The columns, besides `uri` and `title`, that the table has and that can be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says whether one column is there"
)]
pub(crate) struct Columns {
    pub(crate) size: bool,
    pub(crate) etag: bool,
    pub(crate) version_id: bool,
    last_modified: bool,
    updated_at: bool,
    /// Characters that a title may have.
    title_length: Option<i32>,
}

impl Table {
    /// Finds the table, and makes it if none is named and it is not there yet.
    ///
    /// # Errors
    ///
    /// PostgreSQL's, or [`TableError`] for a table that cannot be used.
    pub(crate) async fn find(
        client: &Client,
        name: Option<&TableName>,
        lock: i64,
    ) -> Result<Result<Self, TableError>, tokio_postgres::Error> {
        let asked = name.map_or(DEFAULT_NAME, TableName::as_str);
        if let Some(found) = look(client, asked).await? {
            return Ok(found);
        }
        if name.is_some() {
            return Ok(Err(TableError::Missing(asked.to_owned())));
        }
        // `if not exists` alone fails when two instances make it at the same time.
        client
            .batch_execute(&format!(
                "begin; select pg_advisory_xact_lock({lock}); {DEFAULT} commit"
            ))
            .await?;
        let made = look(client, asked).await?;
        Ok(made.unwrap_or_else(|| Err(TableError::Missing(asked.to_owned()))))
    }
}

async fn look(
    client: &Client,
    name: &str,
) -> Result<Option<Result<Table, TableError>>, tokio_postgres::Error> {
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
    let (table, columns, unique) = tokio::join!(
        client.query_typed_one(TABLE, &parameters),
        client.query_typed(COLUMNS, &parameters),
        client.query_typed(UNIQUE, &parameters),
    );
    let (table, columns, unique) = (table?, columns?, unique?);
    let Some(name) = table.try_get(0)? else {
        return Ok(None);
    };
    let unique: Result<Vec<i16>, _> = unique.iter().map(|row| row.try_get(0)).collect();
    describe(name, &table, &columns, &unique?).map(Some)
}

fn describe(
    name: String,
    row: &Row,
    column_rows: &[Row],
    unique: &[i16],
) -> Result<Result<Table, TableError>, tokio_postgres::Error> {
    let role: String = row.try_get(1)?;
    let mut lacking = Vec::new();
    for (index, right) in (2..).zip(["select", "insert", "update", "delete"]) {
        if !row.try_get::<_, bool>(index)? {
            lacking.push(right);
        }
    }
    if !lacking.is_empty() {
        let grants = grant(&lacking, &name, &role);
        return Ok(Err(TableError::Rights { role, grants }));
    }

    let (mut uri, mut title) = (None, false);
    let mut columns = Columns::default();
    for row in column_rows {
        let (column, oid, modifier, required): (&str, u32, i32, bool) = (
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        );
        let kind = Type::from_oid(oid);
        // Types of extensions, citext among them, have no fixed number; PostgreSQL converts text to them.
        let is_text = !matches!(
            kind,
            Some(
                Type::INT8
                    | Type::INT4
                    | Type::INT2
                    | Type::UUID
                    | Type::JSONB
                    | Type::JSON
                    | Type::BYTEA
            )
        );
        let is_time = matches!(kind, Some(Type::TIMESTAMPTZ | Type::TIMESTAMP));
        match column {
            "uri" if is_text => uri = Some(row.try_get::<_, i16>(4)?),
            "title" if is_text => {
                title = true;
                // PostgreSQL adds the four bytes of a length to what `varchar(n)` allows.
                columns.title_length =
                    (kind == Some(Type::VARCHAR) && modifier > 4).then(|| modifier - 4);
            }
            "size" if matches!(kind, Some(Type::INT8 | Type::NUMERIC)) => columns.size = true,
            "etag" if is_text => columns.etag = true,
            "version_id" if is_text => columns.version_id = true,
            "last_modified" if is_time => columns.last_modified = true,
            "updated_at" if is_time => columns.updated_at = true,
            column if required => {
                let column = column.to_owned();
                return Ok(Err(TableError::Required {
                    table: name,
                    column,
                }));
            }
            _ => {}
        }
    }
    for (is_there, column) in [(uri.is_some(), "uri"), (title, "title")] {
        if !is_there {
            return Ok(Err(TableError::Column {
                table: name,
                column,
            }));
        }
    }
    Ok(Ok(Table {
        is_unique: uri.is_some_and(|uri| unique.contains(&uri)),
        insert: insert(&name, columns),
        overwrite: overwrite(&name, columns),
        remove: format!(
            "delete from {name} as known using unnest($1::text[]) as gone (uri) where known.uri = gone.uri"
        ),
        columns,
        name,
    }))
}

/// The parameters that the statements share.
const INPUT: &str =
    "unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[]";

impl Columns {
    /// Names and values, in the order in which they are written.
    fn values(self) -> Vec<(&'static str, String)> {
        let title = match self.title_length {
            Some(length) => format!("left(input.title, {length})"),
            None => "input.title".to_owned(),
        };
        let mut values = vec![("uri", "input.uri".to_owned()), ("title", title)];
        for (is_there, column) in [
            (self.size, "size"),
            (self.etag, "etag"),
            (self.version_id, "version_id"),
            (self.last_modified, "last_modified"),
        ] {
            if is_there {
                values.push((column, format!("input.{column}")));
            }
        }
        if self.updated_at {
            values.push(("updated_at", "current_timestamp".to_owned()));
        }
        values
    }

    /// Whether a row that may be right already has to be written. A table that does not keep what an object's
    /// identity is can only be asked whether its row is older than the object.
    fn outdated(self) -> String {
        let identity: Vec<String> = [
            (self.size, "size"),
            (self.etag, "etag"),
            (self.version_id, "version_id"),
        ]
        .into_iter()
        .filter(|(is_there, _)| *is_there)
        .map(|(_, column)| format!("known.{column} is distinct from input.{column}"))
        .collect();
        if !identity.is_empty() {
            return identity.join(" or ");
        }
        if self.updated_at {
            return "known.updated_at < input.last_modified".to_owned();
        }
        "false".to_owned()
    }
}

fn insert(name: &str, columns: Columns) -> String {
    let (names, values): (Vec<_>, Vec<_>) = columns.values().into_iter().unzip();
    format!(
        "insert into {name} ({}) select {} from {INPUT}) as input (uri, title, size, etag, version_id, last_modified)",
        names.join(", "),
        values.join(", ")
    )
}

/// One statement for tables with a unique index on `uri` and without: the ledger's locks keep other instances away
/// from these objects. Should somebody else insert one of them, his row is left as it is, to be found by the next
/// event or reconcile.
fn overwrite(name: &str, columns: Columns) -> String {
    let values = columns.values();
    let mut set = String::new();
    for (column, value) in values.iter().skip(1) {
        let comma = if set.is_empty() { "" } else { ", " };
        // Writing into a string does not fail.
        let _ = write!(set, "{comma}{column} = {value}");
    }
    let outdated = columns.outdated();
    let (names, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    format!(
        "with input as (
            select * from {INPUT}, $7::boolean[]) as input (uri, title, size, etag, version_id, last_modified, changed)
        ), updated as (
            update {name} as known set {set} from input
            where known.uri = input.uri and (input.changed or {outdated})
        )
        insert into {name} ({names}) select {values} from input
        where not exists (select from {name} as known where known.uri = input.uri)
        on conflict do nothing"
    )
}
