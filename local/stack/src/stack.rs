use std::sync::Arc;

use embedded_s3::Credentials;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Config, Error,
    buckets::Buckets,
    database::Database,
    folder::Folder,
    function::Function,
    lambda::Lambda,
    poller::{Poller, schedule},
    port,
    registry::Registry,
    store::{REGION, Store},
    welcome::{Client, Welcome, is_on_path},
};

/// Everything, running. Dropping it without [`Stack::stop`] stops PostgreSQL as well, but cuts off requests.
#[derive(Debug)]
pub struct Stack {
    welcome: String,
    store: Store,
    lambda: Lambda,
    registry: Registry,
    workers: Vec<JoinHandle<()>>,
    stop_workers: watch::Sender<bool>,
    // PostgreSQL ends before the folder is given free.
    database: Database,
    _folder: Folder,
}

impl Stack {
    /// Starts everything, in the order in which failures are cheap.
    ///
    /// # Errors
    ///
    /// One line for the user, with what to do. Nothing is left running.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let folder = Folder::open(&config.folder)?;
        let keys = folder.keys(config.credentials.as_ref())?;
        let s3_port = port::listen(config.s3_port, "S3", "HOLDFAST_S3_PORT").await?;
        let lambda_port = port::listen(
            config.lambda_port,
            "Lambda's Invoke API",
            "HOLDFAST_LAMBDA_PORT",
        )
        .await?;
        let registry_port = port::listen(
            config.registry_port,
            "the registry",
            "HOLDFAST_REGISTRY_PORT",
        )
        .await?;
        let database = Database::start(&config, &folder).await?;
        let store = Store::start(folder.path(), &keys, s3_port).await?;

        let sync = Arc::new(Function::sync(&store, &database).await);
        let loader = Arc::new(Function::loader(&store, &database, &keys.own).await);
        let functions = vec![Arc::clone(&sync), Arc::clone(&loader)];
        let lambda = Lambda::start(lambda_port, keys.own.clone(), functions)?;
        let registry =
            Registry::start(registry_port, &store, &folder, &database, &config.ingest).await?;
        let events = Poller {
            queue: store.queue(),
            function: sync,
            told: Some(store.loads()),
        };
        let loads = Poller {
            queue: store.loads(),
            function: loader,
            told: None,
        };
        let (stop_workers, stop) = watch::channel(false);
        let buckets = Buckets::new(store.s3.clone());
        let workers = vec![
            tokio::spawn(buckets.run(stop.clone())),
            tokio::spawn(events.run(stop.clone())),
            tokio::spawn(loads.run(stop.clone())),
            tokio::spawn(schedule(store.loads(), stop)),
        ];

        let welcome = welcome(&folder, &store, &lambda, &registry, &database, &keys.own)?;
        Ok(Self {
            welcome,
            store,
            lambda,
            registry,
            workers,
            stop_workers,
            database,
            _folder: folder,
        })
    }

    /// What to tell the user: addresses, credentials, and lines to try.
    pub fn welcome(&self) -> &str {
        &self.welcome
    }

    /// Runs until `signal`, and starts PostgreSQL again if it ends by itself. Then call [`Stack::stop`].
    ///
    /// # Errors
    ///
    /// A server ended, so that part of it no longer runs.
    pub async fn run_until(mut self, signal: impl Future<Output = ()>) -> Result<Self, Error> {
        let ended = tokio::select! {
            () = signal => None,
            () = self.database.look_after() => None,
            error = self.store.ended() => Some(error),
            error = self.lambda.ended() => Some(error),
            error = self.registry.ended() => Some(error),
        };
        match ended {
            None => Ok(self),
            Some(error) => {
                self.database.stop().await;
                Err(error)
            }
        }
    }

    /// Stops everything in order: requests and batches in hand are finished, for a few seconds.
    pub async fn stop(self) {
        let s3 = self.store.stop_serving().await;
        self.lambda.stop().await;
        self.registry.stop().await;
        self.stop_workers.send_replace(true);
        for worker in self.workers {
            if let Err(error) = worker.await {
                tracing::error!(%error, "a worker failed");
            }
        }
        s3.close().await;
        self.database.stop().await;
    }
}

fn welcome(
    folder: &Folder,
    store: &Store,
    lambda: &Lambda,
    registry: &Registry,
    database: &Database,
    credentials: &Credentials,
) -> Result<String, Error> {
    let endpoint = format!("http://{}", store.address);
    let lambda_endpoint = format!("http://{}", lambda.address());
    let registry = format!("http://{}", registry.address());
    let profiles = folder.path().join("credentials").display().to_string();
    let env = folder.write_env(&[
        ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_SHARED_CREDENTIALS_FILE", &profiles),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ENDPOINT_URL_LAMBDA", &lambda_endpoint),
        ("DATABASE_URL", &database.text),
    ])?;
    let psql = match database.psql() {
        Some(psql) if !is_on_path("psql") => psql.display().to_string(),
        _ => "psql".to_owned(),
    };
    Ok(Welcome {
        endpoint: &endpoint,
        lambda_endpoint: &lambda_endpoint,
        registry: &registry,
        credentials,
        database_url: &database.text,
        folder: folder.path(),
        postgres_folder: database.folder(),
        env: &env,
        psql: &psql,
        client: if is_on_path("aws") {
            Client::Aws
        } else {
            Client::Curl
        },
    }
    .to_string())
}
