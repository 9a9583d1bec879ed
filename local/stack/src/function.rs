use std::any::type_name_of_val;

use document_sync::{Answer, Config, DocumentSync};
use shared::{
    s3::{S3, Settings},
    telemetry::chain,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Builder;

use crate::{database::Database, store::Store};

/// document-sync, in this process, on this machine's S3 and database.
#[derive(Debug)]
pub(crate) struct Function(DocumentSync);

/// An invocation without an answer, as Lambda reports it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The Rust type of the error, which is what Lambda's runtime for Rust gives.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Function {
    /// What Lambda would know it by.
    pub(crate) const NAME: &str = "document-sync";

    /// Connects to the database, and starts without a connection if there is none to be had.
    pub(crate) async fn start(store: &Store, database: &Database) -> Self {
        let config = Config::new(database.url.clone().into(), Settings::default());
        let function = DocumentSync {
            s3: S3::with_client(store.s3.client()),
            ..DocumentSync::new(config)
        };
        if let Err(error) = function.documents.prepare().await {
            tracing::warn!(error = %chain(&error), "starting without a database connection");
        }
        Self(function)
    }

    /// Hands the function a payload of JSON, whoever it came from. Invocations may overlap; each takes a database
    /// connection of its own. The log names the request's id, as Lambda's does.
    pub(crate) async fn invoke(
        &self,
        request_id: &str,
        payload: &str,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let payload = serde_json::from_str(payload).map_err(|error| Failure::from(&error))?;
        let Self(function) = self;
        function
            .handle(&payload, request_id, deadline)
            .instrument(tracing::info_span!("invocation", request_id))
            .await
            .map_err(|error| Failure::from(&error))
    }
}

/// A new id for an invocation. Without random bytes it is all zeros: it only helps a reader of the log.
pub(crate) fn request_id() -> String {
    let mut random = [0; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        tracing::warn!(%error, "no random bytes for the id of a request");
    }
    Builder::from_random_bytes(random).into_uuid().to_string()
}

impl<E: std::error::Error> From<&E> for Failure {
    fn from(error: &E) -> Self {
        Self {
            kind: type_name_of_val(error),
            message: chain(error).to_string(),
        }
    }
}
