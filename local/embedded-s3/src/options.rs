//! How a store is opened.

use std::path::PathBuf;

use embedded_iam::{Account, Credentials};

/// What an acknowledged write has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Loss of power: every file and every commit is forced to the disk.
    #[default]
    Full,
    /// The end of this process (kill -9 included), but not of the machine. For tests.
    Relaxed,
}

/// Where and how a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds everything; made when missing. One process at a time may have it open.
    pub folder: PathBuf,
    /// The owner's key. It is not stored, so it may change from one opening to the next.
    pub credentials: Credentials,
    /// Further accounts. The owner's own is 000000000000.
    pub accounts: Vec<Account>,
    /// The region of buckets created without one, and of queue ARNs.
    pub region: String,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// The queue that EventBridge events of buckets with EventBridge switched on go to.
    pub event_bridge_queue: Option<String>,
    /// Objects of at most this many bytes lie in the metadata database instead of a file.
    pub inline_bytes: usize,
}

impl Options {
    /// Options with region `us-east-1`, full durability and no EventBridge queue.
    pub fn new(folder: impl Into<PathBuf>, credentials: Credentials) -> Self {
        Self {
            folder: folder.into(),
            credentials,
            accounts: Vec::new(),
            region: "us-east-1".to_owned(),
            durability: Durability::Full,
            event_bridge_queue: None,
            inline_bytes: 16 * 1024,
        }
    }
}
