//! document-loader is told that there is something to load.

use shared::queue::SendError;
use shared::telemetry::chain;
use tokio::time::{Instant, timeout_at};

use crate::handle::DocumentSync;

/// What is said: what there is to load, the database knows.
const MESSAGE: &str = r#"{"load": {}}"#;

impl DocumentSync {
    /// Says that documents changed, after they did. It looks for itself every minute, so nothing is lost with the message.
    pub(crate) async fn tell_loader(&self, deadline: Instant) {
        let Some(loader) = &self.loader else { return };
        match timeout_at(deadline, loader.send(MESSAGE)).await {
            Ok(Ok(()) | Err(SendError::Resting)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "document-loader was not told of changes");
            }
            Err(_elapsed) => tracing::warn!("there was no time to tell document-loader of changes"),
        }
    }
}
