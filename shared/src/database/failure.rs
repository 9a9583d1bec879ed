//! What a statement that failed is to be answered with.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Whether the fault lay in the connection or in the timing, so that a new connection may fare better.
pub fn is_worth_another_try(error: &Error) -> bool {
    match error.code() {
        // No answer from the server: the connection broke.
        None => true,
        Some(code) => {
            matches!(
                *code,
                SqlState::T_R_DEADLOCK_DETECTED
                    | SqlState::T_R_SERIALIZATION_FAILURE
                    | SqlState::ADMIN_SHUTDOWN
                    | SqlState::CRASH_SHUTDOWN
                    | SqlState::CANNOT_CONNECT_NOW
                    | SqlState::READ_ONLY_SQL_TRANSACTION // a failover left this connection on a replica
                    | SqlState::UNDEFINED_TABLE // dropped while connected: a new connection migrates
                    | SqlState::UNDEFINED_COLUMN // and finds out which columns there are
            ) || code.code().starts_with("08")
        }
    }
}

/// Whether one row of several is to blame: its data, a constraint, or an exception of a trigger.
pub fn is_about_a_row(error: &Error) -> bool {
    /// Data exception, integrity constraint, triggered data change, program limit, PL/pgSQL error
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    const CLASSES: [&str; 5] = ["22", "23", "27", "54", "P0"];
    error
        .code()
        .is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}
