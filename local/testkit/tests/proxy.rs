//! The network's faults, on a server that counts what reaches it.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use testkit::{Fault, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Long enough for any answer on this machine, short enough to wait for one that must not come.
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn everything_passes_in_both_directions_and_to_the_end() {
    let (server, _) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let expected = sent.clone();
    let (mut from, mut to) = client.split();
    let mut got = Vec::new();
    let (written, read) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.shutdown().await
        },
        from.read_to_end(&mut got)
    );
    written.unwrap();
    read.unwrap();
    assert!(got == expected);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_cut_ends_existing_connections_and_welcomes_new_ones() {
    let (server, _) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"one").await.unwrap(), b"one");
    proxy.cut();
    assert!(ask(&mut client, b"two").await.is_err());
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"three").await.unwrap(), b"three");
}

#[tokio::test]
async fn a_redirection_concerns_new_connections_only() {
    let (first, first_heard) = Echo::start().await;
    let (second, second_heard) = Echo::start().await;
    let proxy = Proxy::start(first).await;
    let mut old = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut old, b"one").await.unwrap(), b"one");
    proxy.redirect(second);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut new, b"two").await.unwrap(), b"two");
    assert_eq!(ask(&mut old, b"three").await.unwrap(), b"three");
    assert_eq!(first_heard.text(), "onethree");
    assert_eq!(second_heard.text(), "two");
}

#[tokio::test]
async fn refusal_concerns_new_connections_only() {
    let (server, _) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut old = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut old, b"one").await.unwrap(), b"one");
    proxy.set(Fault::Refuse);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut refused, b"two").await.is_err());
    assert_eq!(ask(&mut old, b"three").await.unwrap(), b"three");
}

#[tokio::test]
async fn a_stalled_connection_says_nothing_until_the_fault_ends() {
    let (server, received) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"one").await.unwrap(), b"one");
    proxy.set(Fault::Stall);
    client.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    assert!(
        timeout(SHORT, client.read_exact(&mut answer))
            .await
            .is_err()
    );
    assert_eq!(received.text(), "one");
    proxy.set(Fault::Pass);
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"two");
}

#[tokio::test]
async fn a_delay_holds_each_piece_in_both_directions() {
    let (server, _) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(50)));
    let start = Instant::now();
    assert_eq!(ask(&mut client, b"one").await.unwrap(), b"one");
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_request_is_cut_after_so_many_bytes_once() {
    let (server, received) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"whole ").await.unwrap(), b"whole ");
    proxy.set(Fault::CutAfterRequestBytes(4));
    assert!(ask(&mut client, b"request").await.is_err());
    received.wait_for("whole requ").await;
    assert_eq!(proxy.fault(), Fault::Pass);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn an_answer_is_cut_after_so_many_bytes() {
    let (server, received) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::CutAfterAnswerBytes(4));
    client.write_all(b"request").await.unwrap();
    let mut answer = Vec::new();
    // The end may come as a reset; what came before it is what counts.
    let _ = client.read_to_end(&mut answer).await;
    assert_eq!(answer, b"requ");
    assert_eq!(received.text(), "request");
}

#[tokio::test]
async fn a_lost_acknowledgement_lets_the_request_through_and_nothing_back() {
    let (server, received) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::LoseAnswerTo(b"COMMIT".to_vec()));
    assert_eq!(ask(&mut client, b"BEGIN;").await.unwrap(), b"BEGIN;");
    assert_eq!(ask(&mut client, b"COM").await.unwrap(), b"COM"); // the name in two pieces
    client.write_all(b"MIT;").await.unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
    assert_eq!(received.text(), "BEGIN;COMMIT;");
    assert_eq!(proxy.fault(), Fault::Pass);
}

#[tokio::test]
async fn a_request_of_many_is_not_carried_out_or_not_answered() {
    let (server, heard) = Echo::start().await;
    let proxy = Proxy::start(server).await;
    let broken = |request, is_carried_out, is_lasting| Fault::BreakAt {
        request,
        ending: b"!".to_vec(),
        is_carried_out,
        is_lasting,
    };
    // Counted over all connections.
    proxy.set(broken(4, false, false));
    let mut clients = Vec::new();
    for text in ["a!", "b!c!"] {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(
            ask(&mut client, text.as_bytes()).await.unwrap(),
            text.as_bytes()
        );
        clients.push(client);
    }
    assert!(ask(&mut clients[0], b"d!").await.is_err());
    assert_eq!(proxy.fault(), Fault::Pass);
    assert_eq!(ask(&mut clients[1], b"e!").await.unwrap(), b"e!");
    assert!(!heard.text().contains('d'));
    // Only what comes up to it is carried out, and those who come later are not let in.
    proxy.set(broken(2, true, true));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut client, b"f!g!h!").await.is_err());
    heard.wait_for("a!b!c!e!f!g!").await;
    assert!(!heard.text().contains('h'));
    assert_eq!(proxy.fault(), Fault::Refuse);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut client, b"i!").await.is_err());
}

async fn ask(client: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    client.write_all(request).await?;
    let mut answer = vec![0; request.len()];
    client.read_exact(&mut answer).await?;
    Ok(answer)
}

/// A server that sends back what it receives.
struct Echo;

impl Echo {
    async fn start() -> (SocketAddr, Received) {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let received = Received::default();
        let record = received.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(echo(client, record.clone()));
            }
        });
        (address, received)
    }
}

async fn echo(mut client: TcpStream, received: Received) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while let length @ 1.. = client.read(&mut buffer).await? {
        let piece = buffer.get(..length).unwrap_or_default();
        received
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(piece);
        client.write_all(piece).await?;
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<u8>>>);

impl Received {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    async fn wait_for(&self, text: &str) {
        let arrives = async {
            while self.text() != text {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_mins(1), arrives)
            .await
            .expect("it arrives");
    }
}
