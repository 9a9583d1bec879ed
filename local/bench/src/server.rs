//! The embedded S3 as a process of its own, and what is asked of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::machine::executable;
use crate::process::Process;

pub(crate) const ACCESS_KEY_ID: &str = "AKIAHOLDFASTBENCH";
pub(crate) const SECRET_ACCESS_KEY: &str = "not-a-secret";

/// The release executable on a free port of 127.0.0.1, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The AWS SDK for it.
    pub(crate) client: aws_sdk_s3::Client,
    child: Child,
}

impl Server {
    /// Starts with its objects in `folder`, as durable as it is by default.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(executable("embedded-s3")?)
            .arg("--folder")
            .arg(folder)
            .args(["--address", "127.0.0.1:0"])
            .env("HOLDFAST_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("HOLDFAST_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("the output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line())
            .await??
            .ok_or("embedded-s3 ended instead of starting")?;
        let address = line
            .rsplit("http://")
            .next()
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| format!("embedded-s3 names no address: {line}"))?;
        Ok(Self {
            address,
            client: client(address),
            child,
        })
    }

    /// The process, while it runs.
    pub(crate) fn process(&self) -> Option<Process> {
        self.child.id().map(Process)
    }

    /// The path and query of a request to put this object, signed for a quarter of an hour.
    pub(crate) async fn put_target(&self, bucket: &str, key: &str) -> Result<String, Failure> {
        let request = self.client.put_object().bucket(bucket).key(key);
        self.target(request.presigned(for_this_run()?).await?.uri())
    }

    /// The path and query of a request to get this object, signed for a quarter of an hour.
    pub(crate) async fn get_target(&self, bucket: &str, key: &str) -> Result<String, Failure> {
        let request = self.client.get_object().bucket(bucket).key(key);
        self.target(request.presigned(for_this_run()?).await?.uri())
    }

    fn target(&self, url: &str) -> Result<String, Failure> {
        let target = url.strip_prefix(&format!("http://{}", self.address));
        Ok(target.ok_or("a URL of this server")?.to_owned())
    }
}

fn for_this_run() -> Result<PresigningConfig, Failure> {
    Ok(PresigningConfig::expires_in(Duration::from_mins(15))?)
}

fn client(address: SocketAddr) -> aws_sdk_s3::Client {
    let credentials = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true)
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
