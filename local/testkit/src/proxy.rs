use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::port::listen;

/// A server that has been silent this long after a lost answer has said all of it.
const SILENCE: Duration = Duration::from_millis(200);

/// What the network does to the connections of a [`Proxy`].
///
/// Those that end a connection after something happen once, to the first connection they fit; then the
/// proxy passes again, or refuses if that lasts, which [`Proxy::fault`] shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None: everything passes.
    #[default]
    Pass,
    /// New connections are closed at once; those that exist go on.
    Refuse,
    /// Not a byte moves, and nobody is told: a black hole. What was sent arrives when the fault ends.
    Stall,
    /// Each piece that arrives, in either direction, waits this long before it goes on.
    Delay(Duration),
    /// The connection is cut when this many more bytes went from the client to the server.
    CutAfterRequestBytes(usize),
    /// The connection is cut when this many more bytes went from the server to the client.
    CutAfterAnswerBytes(usize),
    /// The next request that contains these bytes reaches the server and is carried out, but the connection
    /// is cut before a byte of the answer: a lost acknowledgement.
    LoseAnswerTo(Vec<u8>),
    /// The connection is cut at one of the next requests.
    BreakAt {
        /// Which, counted from 1 over all connections.
        request: usize,
        /// What requests end with, such as PostgreSQL's message `Sync`.
        ending: Vec<u8>,
        /// It reaches the server and is carried out, and its answer is lost.
        is_carried_out: bool,
        /// New connections are refused from then on.
        is_lasting: bool,
    },
}

/// A TCP proxy between the program under test and a server. It connects to the server for each connection
/// anew, so the server may be restarted.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    listener: JoinHandle<()>,
}

/// What all connections of one proxy share.
#[derive(Debug)]
struct Network {
    server: watch::Sender<SocketAddr>,
    fault: watch::Sender<Fault>,
    /// Counts the calls of [`Proxy::cut`].
    cuts: watch::Sender<usize>,
    accepted: AtomicUsize,
    /// Requests that were seen since [`Fault::BreakAt`] was set.
    requests: AtomicUsize,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything to `server`.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub async fn start(server: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let network = Arc::new(Network {
            server: watch::Sender::new(server),
            fault: watch::Sender::default(),
            cuts: watch::Sender::default(),
            accepted: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let listener = tokio::spawn(accept(listener, Arc::clone(&network)));
        Self {
            address,
            network,
            listener,
        }
    }

    /// Where the program under test connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on, to existing connections as well.
    pub fn set(&self, fault: Fault) {
        self.network.requests.store(0, Ordering::Relaxed);
        self.network.fault.send_replace(fault);
    }

    /// What happens at present: a fault that happens once has turned into [`Fault::Pass`] when it happened.
    pub fn fault(&self) -> Fault {
        self.network.fault.borrow().clone()
    }

    /// Passes new connections to another server; those that exist stay where they are.
    pub fn redirect(&self, server: SocketAddr) {
        self.network.server.send_replace(server);
    }

    /// Cuts all connections that exist; new ones are welcome.
    pub fn cut(&self) {
        self.network.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections were accepted so far, refused ones not counted.
    pub fn connections(&self) -> usize {
        self.network.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        if *network.fault.borrow() == Fault::Refuse {
            continue; // dropping the connection closes it
        }
        network.accepted.fetch_add(1, Ordering::Relaxed);
        // Subscribed before the task starts, so that a cut from here on reaches this connection.
        let cuts = network.cuts.subscribe();
        tokio::spawn(carry(client, Arc::clone(&network), cuts));
    }
}

/// Carries one connection until both sides are done or it is cut. Either way the client sees it close.
async fn carry(
    client: TcpStream,
    network: Arc<Network>,
    mut cuts: watch::Receiver<usize>,
) -> io::Result<()> {
    let address = *network.server.borrow();
    let server = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let losing = Arc::new(AtomicBool::new(false));
    let direction = |direction, from, to| Stream {
        direction,
        from,
        to,
        network: Arc::clone(&network),
        losing: Arc::clone(&losing),
    };
    let requests = direction(Direction::Request, from_client, to_server);
    let answers = direction(Direction::Answer, from_server, to_client);
    tokio::select! {
        outcome = async { tokio::try_join!(requests.pump(), answers.pump()) } => outcome.map(drop),
        _ = cuts.changed() => Err(cut()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

/// One direction of one connection.
struct Stream {
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    network: Arc<Network>,
    /// The request whose answer is to be lost has passed.
    losing: Arc<AtomicBool>,
}

impl Stream {
    async fn pump(mut self) -> io::Result<()> {
        let mut fault = self.network.fault.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        let mut passed = 0;
        let mut window = Vec::new();
        loop {
            let now = fault.borrow_and_update().clone();
            let length = tokio::select! {
                biased;
                _ = fault.changed() => {
                    passed = 0; // bytes are counted from the setting of a fault
                    window.clear();
                    continue;
                }
                length = self.from.read(&mut buffer), if now != Fault::Stall => length?,
            };
            let piece = buffer.get(..length).unwrap_or_default();
            if piece.is_empty() {
                return self.to.shutdown().await;
            }
            if self.direction == Direction::Answer && self.losing.load(Ordering::Acquire) {
                return self.swallow().await;
            }
            match &now {
                Fault::Delay(time) => sleep(*time).await,
                Fault::CutAfterRequestBytes(limit) if self.direction == Direction::Request => {
                    self.cut_at(piece, limit.saturating_sub(passed), &now)
                        .await?;
                }
                Fault::CutAfterAnswerBytes(limit) if self.direction == Direction::Answer => {
                    self.cut_at(piece, limit.saturating_sub(passed), &now)
                        .await?;
                }
                Fault::LoseAnswerTo(request) if self.direction == Direction::Request => {
                    window.extend_from_slice(piece);
                    if contains(&window, request) && self.happens(&now) {
                        // Before the request goes on: its answer cannot be faster than this.
                        self.losing.store(true, Ordering::Release);
                    }
                    // The end of this piece may be the beginning of the request looked for.
                    let done = window.len().saturating_sub(request.len());
                    window.drain(..done);
                }
                Fault::BreakAt {
                    request,
                    ending,
                    is_carried_out,
                    ..
                } if self.direction == Direction::Request => {
                    let earlier = window.len();
                    window.extend_from_slice(piece);
                    let ends = ends(&window, ending);
                    let seen = self
                        .network
                        .requests
                        .fetch_add(ends.len(), Ordering::AcqRel);
                    let broken = request.checked_sub(seen + 1);
                    if let Some(end) = broken.and_then(|broken| ends.get(broken))
                        && self.happens(&now)
                    {
                        if !is_carried_out {
                            return Err(cut());
                        }
                        self.losing.store(true, Ordering::Release);
                        let last = piece.get(..end.saturating_sub(earlier));
                        self.to.write_all(last.unwrap_or_default()).await?;
                        // What is left to do is to lose the answer.
                        return pending().await;
                    }
                    let done = window.len().saturating_sub(ending.len().saturating_sub(1));
                    window.drain(..done.max(ends.last().copied().unwrap_or_default()));
                }
                _ => {}
            }
            self.to.write_all(piece).await?;
            passed += piece.len();
        }
    }

    /// Cuts the connection when `piece` reaches beyond what is `left`, after passing just that much.
    async fn cut_at(&mut self, piece: &[u8], left: usize, fault: &Fault) -> io::Result<()> {
        match piece.get(..left) {
            Some(last) if self.happens(fault) => {
                self.to.write_all(last).await?;
                Err(cut())
            }
            _ => Ok(()),
        }
    }

    /// Reads the answer to its end, as the client's network would have carried it, and gives none of it on.
    async fn swallow(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(Ok(1..)) = timeout(SILENCE, self.from.read(&mut buffer)).await {}
        Err(cut())
    }

    /// Ends a fault that happens once; false if another connection was faster.
    fn happens(&self, fault: &Fault) -> bool {
        self.network.fault.send_if_modified(|now| {
            let first = now == fault;
            if first {
                let is_lasting = matches!(
                    now,
                    Fault::BreakAt {
                        is_lasting: true,
                        ..
                    }
                );
                *now = if is_lasting {
                    Fault::Refuse
                } else {
                    Fault::Pass
                };
            }
            first
        })
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// Where the parts of `bytes` end that end with `ending`.
fn ends(bytes: &[u8], ending: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut from = 0;
    let next = |from: usize| {
        bytes
            .get(from..)?
            .windows(ending.len())
            .position(|part| part == ending)
    };
    while let Some(found) = next(from) {
        from += found + ending.len();
        ends.push(from);
    }
    ends
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the test")
}
