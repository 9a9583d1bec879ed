//! What keeps the index in step, as a function of its own: it has more time than a request, and nobody waits for it.
//!
//! ```json
//! { "tend": true, "rebuild": { "every_hours": 24 } }
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::telemetry::chain;
use tokio::time::Instant;

use crate::index::rebuild::{Order, Rebuilt, Tended};
use crate::registry::Error;
use crate::storage::{NoStore, Storage};

/// One invocation's orders, carried out in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Command {
    /// Look after changes that were interrupted, and forget what the index no longer needs.
    pub tend: bool,
    /// Compare the index with the bucket and write what differs.
    pub rebuild: Option<Order>,
}

/// What a command came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Of interrupted changes and old rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tended: Option<Tended>,
    /// Of the comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Rebuilt>,
}

/// Why a command was not carried out, with all causes: Lambda shows its caller nothing but this text. The same again
/// goes on from where it ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The bucket does not answer.
    #[error(transparent)]
    Store(#[from] NoStore),
    /// The index, or an object in the bucket.
    #[error("the index was not put in order, or not wholly: {}", chain(.0))]
    Index(Error),
}

/// Does what one invocation asks for, until `deadline` at the latest.
///
/// # Errors
///
/// [`Failure`].
pub async fn carry_out(
    storage: &Storage,
    command: &Command,
    deadline: Instant,
) -> Result<Done, Failure> {
    let registry = Arc::clone(&storage.backend().await?.registry);
    let mut done = Done::default();
    if command.tend {
        let tended = Box::pin(registry.tend_index(deadline)).await;
        done.tended = Some(tended.map_err(Failure::Index)?);
    }
    if let Some(order) = &command.rebuild {
        let rebuilt = Box::pin(registry.rebuild_index(order, deadline)).await;
        done.rebuilt = Some(rebuilt.map_err(Failure::Index)?);
    }
    Ok(done)
}
