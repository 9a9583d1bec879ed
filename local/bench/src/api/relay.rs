//! Statements sent to PostgreSQL, counted on their way: a relay that reads what clients send.
//!
//! A message has a letter, then its length in four bytes, which count themselves; only the first one of a connection has no
//! letter (<https://www.postgresql.org/docs/current/protocol-message-formats.html>). `Execute` runs a prepared
//! statement and `Query` a text; the driver sends each statement of ours as one of them. The server is asked from
//! `Sync` or `Query` to `ReadyForQuery`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::waiting::{Open, Waiting};
use crate::Failure;

/// A relay on 127.0.0.1. It ends with the value.
#[derive(Debug)]
pub(super) struct Relay {
    /// The URL of the database behind it.
    pub(super) url: String,
    statements: Arc<AtomicUsize>,
    listener: JoinHandle<()>,
}

impl Relay {
    /// Starts before the server that the URL names, on 127.0.0.1.
    pub(super) async fn start(url: &str, waiting: &Waiting) -> Result<Self, Failure> {
        let waiting = waiting.clone();
        let target = url
            .split_once('@')
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(target, _)| target.to_owned())
            .ok_or("a URL of the form postgresql://user:password@host:port/name")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = url.replace(&target, &listener.local_addr()?.to_string());
        let statements = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&statements);
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, counted) = (target.clone(), Arc::clone(&counted));
                let waiting = waiting.clone();
                // Whoever is cut off reports it: here nothing is left to say.
                tokio::spawn(async move { pass(client, &target, &counted, waiting).await.ok() });
            }
        });
        Ok(Self {
            url,
            statements,
            listener,
        })
    }

    /// Statements since the last time this was asked.
    pub(super) fn take(&self) -> usize {
        self.statements.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What the server was asked and has not answered.
type Asked = Arc<Mutex<Vec<Open>>>;

async fn pass(
    client: TcpStream,
    target: &str,
    statements: &AtomicUsize,
    waiting: Waiting,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Asked::default();
    let answers = tokio::spawn(answer(from_server, to_client, Arc::clone(&asked)));
    let asked = ask(from_client, to_server, statements, &waiting, &asked).await;
    answers.abort();
    asked
}

async fn ask(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    statements: &AtomicUsize,
    waiting: &Waiting,
    asked: &Asked,
) -> std::io::Result<()> {
    let mut is_first = true;
    loop {
        let mut message = Vec::new();
        if !is_first {
            let kind = client.read_u8().await?;
            statements.fetch_add(usize::from(matches!(kind, b'E' | b'Q')), Ordering::SeqCst);
            if matches!(kind, b'S' | b'Q') {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.push(waiting.begin());
            }
            message.push(kind);
        }
        is_first = false;
        read(&mut client, &mut message).await?;
        server.write_all(&message).await?;
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    asked: Asked,
) -> std::io::Result<()> {
    loop {
        let kind = server.read_u8().await?;
        let mut message = vec![kind];
        read(&mut server, &mut message).await?;
        client.write_all(&message).await?;
        if kind == b'Z' {
            asked.lock().unwrap_or_else(PoisonError::into_inner).pop();
        }
    }
}

/// The rest of a message, after its letter.
async fn read(from: &mut OwnedReadHalf, message: &mut Vec<u8>) -> std::io::Result<()> {
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let rest = u64::from(length).saturating_sub(4);
    from.take(rest).read_to_end(message).await?;
    Ok(())
}
