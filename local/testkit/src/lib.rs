//! Real parts for tests: a PostgreSQL, with TLS and a standby if need be, the Lambda Runtime API around a
//! built binary, S3 and STS of two accounts, a Secrets Manager, a queue, the Hugging Face Hub and GitHub in small, and a
//! network that fails.
//!
//! What cannot start panics, with the reason: a test without its parts fails, it is never skipped.
//!
//! ```no_run
//! # async fn test() {
//! use testkit::{Postgres, RuntimeApi};
//! let postgres = Postgres::start().await;
//! let function = RuntimeApi::start().await.run("target/debug/document-sync", &[("DATABASE_URL", postgres.url())]);
//! let answer = function.invoke(&serde_json::json!({"Records": []})).await.unwrap();
//! assert_eq!(answer["batchItemFailures"], serde_json::json!([]));
//! # }
//! ```
//!
//! For one account, the embedded S3 is its own test double: see the crate `embedded-s3`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose parts do not start must stop, and say so"
)]

mod authority;
mod aws;
mod function;
mod port;
mod postgres;
mod proxy;
mod runtime_api;
mod secrets_manager;
mod server;
mod sqs;
mod upstream;

pub use authority::{Authority, Issued};
pub use aws::{Aws, Keys, Tenant};
pub use function::{Failure, Function, FunctionError};
pub use port::Port;
pub use postgres::Postgres;
pub use proxy::{Fault, Proxy};
pub use runtime_api::RuntimeApi;
pub use secrets_manager::SecretsManager;
pub use sqs::Sqs;
pub use upstream::{Asked, Reply, Upstream};
