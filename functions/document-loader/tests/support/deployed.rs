//! The function as it is deployed: the executable, over the Lambda Runtime API.

use testkit::{Function, Postgres, RuntimeApi};
use tokio::net::TcpListener;

use super::{DOCUMENT, Store};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_document-loader");

/// The role that the function has.
pub(crate) const FUNCTION_ROLE: &str = "arn:aws:iam::000000000000:role/document-loader";

/// The executable with a database, a store and STS around it.
pub(crate) struct Deployed {
    pub(crate) function: Function,
    pub(crate) sql: tokio_postgres::Client,
    pub(crate) store: Store,
    pub(crate) postgres: Postgres,
    endpoint: String,
}

impl Deployed {
    pub(crate) async fn start() -> Self {
        let postgres = Postgres::start().await;
        let sql = postgres.connect().await;
        sql.batch_execute(DOCUMENT).await.unwrap();
        let store = Store::start().await;
        store
            .embedded
            .create_bucket("example-documents", true)
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = store.embedded.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        let function = run(postgres.url(), &endpoint).await;
        function.ready().await.unwrap();
        Self {
            function,
            sql,
            store,
            postgres,
            endpoint,
        }
    }

    /// Another instance of it.
    pub(crate) async fn another(&self) -> Function {
        let function = run(self.postgres.url(), &self.endpoint).await;
        function.ready().await.unwrap();
        function
    }

    pub(crate) async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        let uri = format!("s3://example-documents/{key}");
        let (etag, version_id, size) = self
            .store
            .put_into("example-documents", key, body.into())
            .await;
        self.sql
            .execute(
                "insert into document (uri, title, size, etag, version_id) values ($1, '', $2, $3, $4)
                on conflict (uri) do update set size = excluded.size, etag = excluded.etag, version_id = excluded.version_id",
                &[&uri, &size, &etag, &version_id],
            )
            .await
            .unwrap();
        uri
    }
}

async fn run(database: &str, endpoint: &str) -> Function {
    let variables = [
        ("DATABASE_URL", database),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("LOADER_ROLE_ARN", FUNCTION_ROLE),
    ];
    RuntimeApi::start().await.run(BINARY, &variables)
}
