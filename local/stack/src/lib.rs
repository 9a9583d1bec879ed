//! Everything of Holdfast on this machine, in one process: S3, IAM and STS, PostgreSQL, the functions, and what
//! connects them. It is how people try Holdfast, develop on it, and run it on a single host.
//!
//! # Layout, in reading order
//!
//! - [`Config`]: ports, folder and credentials, from the environment.
//! - [`Stack`]: the start, the wait and the stop of everything.
//! - `folder`: the data folder: its lock, its `env` file. `keys`: those of its two accounts.
//! - `database`: PostgreSQL, ours or the user's. `store`: the embedded S3, its buckets and its port.
//! - `port`: those of 127.0.0.1 are taken before anything slow is done.
//! - `buckets`: those the user makes are watched as well.
//! - `function`: document-sync and document-loader, in this process. `poller`: from the queue of S3's events to the one, from
//!   there to the other, as AWS Lambda does it.
//! - `lambda`: the functions behind Lambda's Invoke API.
//! - `registry`: the artifact registry's API.
//! - `welcome`: what is printed when all of it runs.

mod buckets;
mod config;
mod database;
mod error;
mod folder;
mod function;
mod keys;
mod lambda;
mod poller;
mod port;
mod registry;
mod server;
mod stack;
mod store;
mod welcome;

pub use config::Config;
pub use error::Error;
pub use stack::Stack;
