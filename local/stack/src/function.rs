use std::any::type_name_of_val;

use aws_credential_types::Credentials as Key;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use document_loader::{Amazon, DocumentLoader};
use document_sync::DocumentSync;
use embedded_s3::Credentials;
use serde_json::Value;
use shared::{
    s3::{S3, Settings},
    telemetry::chain,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Builder;

use crate::{
    database::Database,
    store::{REGION, Store},
};

/// Whom roles on this machine have to trust: the owner of the store.
const OWNER: &str = "arn:aws:iam::000000000000:root";

/// A function in this process, on this machine's S3 and database.
#[derive(Debug)]
pub(crate) enum Function {
    Sync(Box<DocumentSync>),
    Loader(Box<DocumentLoader>),
}

/// An invocation without an answer, as Lambda reports it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The Rust type of the error, which is what Lambda's runtime for Rust gives.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Function {
    /// What Lambda would know them by.
    pub(crate) const SYNC: &str = "document-sync";
    pub(crate) const LOADER: &str = "document-loader";

    /// Starts document-sync: connects to the database, and starts without a connection if there is none to be had.
    pub(crate) async fn sync(store: &Store, database: &Database) -> Self {
        let config = document_sync::Config::new(database.url.clone().into(), Settings::default());
        let function = DocumentSync {
            s3: S3::with_client(store.s3.client()),
            ..DocumentSync::new(config)
        };
        if let Err(error) = function.documents.prepare().await {
            tracing::warn!(error = %chain(&error), "starting without a database connection");
        }
        Self::Sync(Box::new(function))
    }

    /// Starts document-loader, after document-sync, which makes the documents table.
    pub(crate) async fn loader(
        store: &Store,
        database: &Database,
        credentials: &Credentials,
    ) -> Self {
        let config = document_loader::Config {
            role_arn: Some(OWNER.to_owned()),
            ..document_loader::Config::new(
                database.url.clone().into(),
                document_loader::amazon::Settings::default(),
            )
        };
        let key = Key::new(
            &credentials.access_key_id,
            &credentials.secret_access_key,
            None,
            None,
            "stack",
        );
        let sts = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(format!("http://{}", store.address))
            .credentials_provider(key)
            .http_client(store.s3.http_client())
            .build();
        let amazon =
            Amazon::with_configs(store.s3.client().config(), &sts, Self::LOADER.to_owned());
        let function = DocumentLoader::with_amazon(config, amazon);
        if let Err(error) = function.queue.prepare().await {
            tracing::warn!(error = %chain(&error), "starting without a database connection");
        }
        Self::Loader(Box::new(function))
    }

    /// What Lambda would know it by.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sync(_) => Self::SYNC,
            Self::Loader(_) => Self::LOADER,
        }
    }

    /// Hands the function a payload of JSON, whoever it came from. Invocations may overlap; each takes database
    /// connections of its own. The log names the request's id, as Lambda's does.
    pub(crate) async fn invoke(
        &self,
        request_id: &str,
        payload: &str,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let invocation = tracing::info_span!("invocation", request_id);
        match self {
            Self::Sync(function) => {
                let payload = read(payload)?;
                let answer = function.handle(&payload, request_id, deadline);
                written(&answer.instrument(invocation).await.map_err(of)?)
            }
            Self::Loader(function) => {
                let payload = read(payload)?;
                let answer = function.handle(&payload, deadline);
                written(&answer.instrument(invocation).await.map_err(of)?)
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(payload: &str) -> Result<T, Failure> {
    serde_json::from_str(payload).map_err(of)
}

fn written(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(of)
}

fn of<E: std::error::Error>(error: E) -> Failure {
    Failure::from(&error)
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
