//! What an operator or a schedule asks for: the invocations that are not events.

use std::time::Duration;

use serde::Deserialize;

/// One invocation's orders, carried out in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// `replay`: try messages in quarantine again.
    #[serde(default)]
    pub replay: Option<Replay>,
    /// `reconcile`: compare a bucket with the documents table and repair what differs.
    #[serde(default)]
    pub reconcile: Option<Reconcile>,
}

impl Command {
    /// Reads the JSON of an invocation.
    pub(crate) fn read(json: &str) -> Result<Self, InvalidCommand> {
        let command: Self =
            serde_json::from_str(json).map_err(|error| InvalidCommand(error.to_string()))?;
        if let Some(reconcile) = &command.reconcile {
            reconcile.check()?;
        }
        Ok(command)
    }
}

/// Which messages in quarantine to try again: all of them without a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Only these rows of the table.
    #[serde(default)]
    pub ids: Option<Vec<i64>>,
    /// Only what was asked for in SQL, by `replay_quarantine()`.
    #[serde(default)]
    pub requested: bool,
}

/// A bucket, or the part of it under a prefix, to bring the documents table in step with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// The bucket.
    pub bucket: String,
    /// Only keys that begin with this.
    #[serde(default)]
    pub prefix: String,
    /// Only count what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// The greatest part of the documents, 0 to 1, that may be removed, in place of the one in the settings.
    #[serde(default)]
    pub max_deleted_share: Option<f64>,
    /// Not again before this many hours after the last time: for schedules.
    #[serde(default)]
    pub every_hours: Option<u32>,
    /// From the beginning, even if the last run has not finished.
    #[serde(default)]
    pub restart: bool,
}

impl Reconcile {
    /// How long after the last run the next is due.
    pub fn interval(&self) -> Option<Duration> {
        self.every_hours
            .map(|hours| Duration::from_secs(u64::from(hours) * 3600))
    }

    fn check(&self) -> Result<(), InvalidCommand> {
        let invalid = |problem: &str| Err(InvalidCommand(problem.to_owned()));
        if self.bucket.is_empty() || self.bucket.contains(['/', '\0']) {
            return invalid("reconcile.bucket is no bucket's name");
        }
        if self.prefix.contains('\0') || self.prefix.len() > 1024 {
            return invalid("reconcile.prefix is no prefix of a key");
        }
        if self
            .max_deleted_share
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return invalid("reconcile.max_deleted_share must be between 0 and 1");
        }
        Ok(())
    }
}

/// An invocation that asks for something this function does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the invocation is invalid: {0}")]
pub struct InvalidCommand(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_with_their_defaults() {
        let command = Command::read(r#"{"replay": {}, "reconcile": {"bucket": "b"}}"#).unwrap();
        assert_eq!(command.replay, Some(Replay::default()));
        let reconcile = command.reconcile.unwrap();
        assert_eq!(
            (
                reconcile.prefix.as_str(),
                reconcile.dry_run,
                reconcile.interval()
            ),
            ("", false, None)
        );
    }

    #[test]
    fn what_is_not_understood_is_not_done() {
        for (json, problem) in [
            (r#"{"reconcile": {}}"#, "missing field `bucket`"),
            (r#"{"reconcile": {"bucket": ""}}"#, "no bucket's name"),
            (
                r#"{"reconcile": {"bucket": "b", "dryrun": true}}"#,
                "unknown field `dryrun`",
            ),
            (
                r#"{"reconcile": {"bucket": "b", "max_deleted_share": 50}}"#,
                "between 0 and 1",
            ),
            (r#"{"replay": [1]}"#, "invalid"),
            (
                r#"{"replay": {}, "rebuild": {}}"#,
                "unknown field `rebuild`",
            ),
        ] {
            let error = Command::read(json).unwrap_err().to_string();
            assert!(error.contains(problem), "{json}: {error}");
        }
    }
}
