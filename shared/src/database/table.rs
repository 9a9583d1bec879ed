//! Tables of the user's own: their names, and the rights on them.

use std::str::FromStr;

/// The name of a table as a setting has it: `documents`, `app.documents`, `"App"."Documents"`.
///
/// Read by PostgreSQL as it reads names in a statement, so what is not quoted is in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

impl TableName {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TableName {
    type Err = InvalidTableName;

    fn from_str(text: &str) -> Result<Self, InvalidTableName> {
        if text.contains('\0') || text.len() > 300 {
            return Err(InvalidTableName);
        }
        Ok(Self(text.to_owned()))
    }
}

/// No table can be called so.
#[derive(Debug, thiserror::Error)]
#[error("it is not the name of a table")]
pub struct InvalidTableName;

/// The statement that gives a role what it lacks.
pub fn grant(rights: &[&str], table: &str, role: &str) -> String {
    format!(
        "grant {} on {table} to {};",
        rights.join(", "),
        quoted(role)
    )
}

/// A name as statements take it, whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
