//! A stack that runs, as a user would have it: the built program, a data folder, four ports.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of it, and a test that cannot start must stop"
)]

use std::{
    collections::HashMap,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use tempfile::TempDir;
use testkit::Port;
use tokio_postgres::NoTls;

/// Long enough for a slow and busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a stack keeps its data and listens; it can be started there again and again.
pub(crate) struct Place {
    parent: TempDir,
    pub(crate) s3_port: Port,
    pub(crate) lambda_port: Port,
    pub(crate) registry_port: Port,
    pub(crate) postgres_port: Port,
    variables: HashMap<String, String>,
}

/// A running stack. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    stderr: PathBuf,
    pub(crate) welcome: String,
    env: HashMap<String, String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let parent = tempfile::Builder::new()
            .prefix("stack-")
            .tempdir_in("/tmp")
            .expect("/tmp is writable");
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self {
            parent,
            s3_port: Port::free(),
            lambda_port: Port::free(),
            registry_port: Port::free(),
            postgres_port: Port::free(),
            variables: HashMap::new(),
        }
    }

    /// Sets a variable for the starts to come.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Shuts out everybody but the owner, as the home of root does.
    pub(crate) fn closed(self) -> Self {
        fs::set_permissions(self.parent.path(), fs::Permissions::from_mode(0o700))
            .expect("it is ours");
        self
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.parent.path().join("data")
    }

    /// The private server's process, as its own file names it.
    pub(crate) fn postmaster(&self) -> u32 {
        let text = fs::read_to_string(self.folder().join("postgres/data/postmaster.pid"))
            .expect("the server runs");
        text.lines()
            .next()
            .and_then(|line| line.parse().ok())
            .expect("the first line is the process id")
    }

    /// Starts the program without waiting for anything.
    pub(crate) fn spawn(&self) -> Child {
        self.spawn_with("")
    }

    /// As [`spawn`](Self::spawn), with the output in files of this suffix: two programs that run at the same time
    /// must not write into each other's.
    fn spawn_with(&self, suffix: &str) -> Child {
        let file = |name: &str| {
            fs::File::create(self.parent.path().join(format!("{name}{suffix}")))
                .expect("the folder is writable")
        };
        Command::new(env!("CARGO_BIN_EXE_stack"))
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOLDFAST_DATA", self.folder())
            .env("HOLDFAST_S3_PORT", self.s3_port.number().to_string())
            .env(
                "HOLDFAST_LAMBDA_PORT",
                self.lambda_port.number().to_string(),
            )
            .env(
                "HOLDFAST_REGISTRY_PORT",
                self.registry_port.number().to_string(),
            )
            .env(
                "HOLDFAST_POSTGRES_PORT",
                self.postgres_port.number().to_string(),
            )
            .envs(&self.variables)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the program was built")
    }

    /// Starts the program and waits until it says that it runs.
    pub(crate) async fn start(&self) -> Running {
        let mut child = self.spawn();
        let stdout = self.parent.path().join("stdout");
        let stderr = self.parent.path().join("stderr");
        let welcome = wait_for("the stack to run", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "it ended ({status}): {}",
                    fs::read_to_string(&stderr).unwrap_or_default()
                );
            }
            fs::read_to_string(&stdout)
                .ok()
                .filter(|text| text.contains("from document"))
        })
        .await;
        let env = fs::read_to_string(self.folder().join("env")).expect("the env file is there");
        let env = env
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let env = env
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Running {
            child,
            stderr,
            welcome,
            env,
        }
    }

    /// Starts the program, maybe beside one that runs, which must fail with one line; gives that line.
    pub(crate) async fn fails(&self) -> String {
        let mut child = self.spawn_with(".failed");
        let status = ended(&mut child).await;
        assert_eq!(status.code(), Some(1));
        let text =
            fs::read_to_string(self.parent.path().join("stderr.failed")).expect("it is ours");
        let lines: Vec<&str> = text.lines().collect();
        let [line] = lines.as_slice() else {
            panic!("not one line: {text}")
        };
        assert!(line.starts_with("error: "), "{line}");
        (*line).to_owned()
    }
}

impl Running {
    pub(crate) fn variable(&self, name: &str) -> &str {
        self.env.get(name).expect("the env file has it")
    }

    /// The SDK, over TCP.
    pub(crate) fn s3(&self) -> Client {
        let credentials = Credentials::new(
            self.variable("AWS_ACCESS_KEY_ID"),
            self.variable("AWS_SECRET_ACCESS_KEY"),
            None,
            None,
            "env file",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.variable("AWS_ENDPOINT_URL"))
            .force_path_style(true)
            .region(Region::new(self.variable("AWS_DEFAULT_REGION").to_owned()))
            .credentials_provider(credentials);
        Client::from_conf(config.build())
    }

    /// As [`s3`](Self::s3), with the key of the second account, as the profile `customer` has it.
    pub(crate) fn customer_s3(&self) -> Client {
        let file = fs::read_to_string(self.variable("AWS_SHARED_CREDENTIALS_FILE"));
        let file = file.expect("the credentials file is there");
        let (_, profile) = file.split_once("[customer]").expect("it has the profile");
        let value = |name: &str| {
            let line = profile.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the profile has a key")
                .trim_start_matches(" = ")
        };
        let credentials = Credentials::new(
            value("aws_access_key_id"),
            value("aws_secret_access_key"),
            None,
            None,
            "credentials file",
        );
        let config = self.s3().config().to_builder();
        Client::from_conf(config.credentials_provider(credentials).build())
    }

    /// What the table says: URI and size, by URI.
    pub(crate) async fn rows(&self) -> Result<Vec<(String, i64)>, tokio_postgres::Error> {
        let (client, connection) =
            tokio_postgres::connect(self.variable("DATABASE_URL"), NoTls).await?;
        tokio::spawn(connection);
        let rows = client
            .query("select uri, size from document order by uri", &[])
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Waits until the table says this.
    pub(crate) async fn wait_for_rows(&self, expected: &[(&str, i64)]) {
        let expected: Vec<(String, i64)> = expected
            .iter()
            .map(|(uri, size)| ((*uri).to_owned(), *size))
            .collect();
        wait_for(&format!("the rows {expected:?}"), async || {
            (self.rows().await.ok()? == expected).then_some(())
        })
        .await;
    }

    /// Waits until the log contains this.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        wait_for(text, async || {
            fs::read_to_string(&self.stderr)
                .ok()?
                .contains(text)
                .then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end of the program.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        ended(&mut self.child).await
    }

    /// Kills the program without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal("TERM");
            // A test that fails here has failed before; the end is what counts.
            let _ = self.child.wait();
        }
    }
}

pub(crate) async fn ended(child: &mut Child) -> ExitStatus {
    wait_for("the end of the program", async || {
        child.try_wait().expect("it is our child")
    })
    .await
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status();
    assert!(status.expect("kill is part of every Unix").success());
}

/// Tries until there is an answer, up to [`PATIENCE`].
pub(crate) async fn wait_for<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = attempt().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many processes have `text` in their command lines.
pub(crate) fn processes_with(text: &Path) -> usize {
    let listing = Command::new("ps")
        .args(["-axo", "command="])
        .output()
        .expect("ps (of the package procps) is there");
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    listing
        .lines()
        .filter(|line| line.contains(&*text.to_string_lossy()))
        .count()
}

/// A zombie has ended; it waits for whoever adopted it.
pub(crate) fn runs(process: u32) -> bool {
    let listing = Command::new("ps")
        .args(["-o", "stat=", "-p", &process.to_string()])
        .output();
    let state = listing.expect("ps (of the package procps) is there").stdout;
    !state.is_empty() && !state.starts_with(b"Z")
}
