//! Statements sent to PostgreSQL, counted on their way: a relay that reads what clients send.
//!
//! A message has a letter, then its length in four bytes, which count themselves; only the first one of a connection has no
//! letter (<https://www.postgresql.org/docs/current/protocol-message-formats.html>). `Execute` runs a prepared
//! statement and `Query` a text; the driver sends each statement of ours as one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
    pub(super) async fn start(url: &str) -> Result<Self, Failure> {
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
                // Whoever is cut off reports it: here nothing is left to say.
                tokio::spawn(async move { pass(client, &target, &counted).await.ok() });
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

async fn pass(client: TcpStream, target: &str, statements: &AtomicUsize) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let asked = ask(from_client, to_server, statements).await;
    answers.abort();
    asked
}

async fn ask(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    statements: &AtomicUsize,
) -> std::io::Result<()> {
    let mut is_first = true;
    loop {
        let mut message = Vec::new();
        if !is_first {
            let kind = client.read_u8().await?;
            statements.fetch_add(usize::from(matches!(kind, b'E' | b'Q')), Ordering::SeqCst);
            message.push(kind);
        }
        is_first = false;
        let length = client.read_u32().await?;
        message.extend(length.to_be_bytes());
        let rest = u64::from(length).saturating_sub(4);
        (&mut client).take(rest).read_to_end(&mut message).await?;
        server.write_all(&message).await?;
    }
}
