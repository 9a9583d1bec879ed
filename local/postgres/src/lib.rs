//! A PostgreSQL cluster of our own on this machine: private, unprivileged, and gone when its owner is gone.
//!
//! [`Cluster::temporary`] is for tests: a folder under `/tmp`, a Unix socket, no durability, removed on drop.
//! [`Cluster::persistent`] is for `make run`: durable, on a port of 127.0.0.1, with a password of its own.
//!
//! # Layout
//!
//! - `cluster`: the public type: start, stop, kill, databases and their URLs.
//! - `home`: the folder of a cluster, temporary or persistent, and `initdb`.
//! - `programs`: finding the server programs, which most distributions keep out of `PATH`.
//! - `account`: whom the server runs as, since PostgreSQL refuses root.
//! - `server`: one running postmaster, its log and its end.
//! - `guardian`: ends the postmaster when this process is killed and cannot do so itself.
//! - `leftover`: a postmaster that survived even that.

mod account;
mod cluster;
mod error;
mod guardian;
mod home;
mod leftover;
mod log;
mod programs;
mod server;

pub use cluster::Cluster;
pub use error::Error;
pub use programs::Programs;
