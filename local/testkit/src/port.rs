//! Free ports: for servers in this process, and for programs that must be told theirs before they run.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

/// Listens on a free port of 127.0.0.1, and says which.
///
/// # Panics
///
/// No port is free.
pub(crate) async fn listen() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port of 127.0.0.1 is free");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    (listener, address)
}

/// Outside of the ports that systems give to whoever asks for any, so that no connection takes one in between.
const PORTS: RangeInclusive<u16> = 10_000..=29_999;

/// A port of 127.0.0.1 that no other test is given as long as this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Its lock ends with the process at the latest.
    _reserved: File,
}

impl Port {
    /// A free one.
    ///
    /// # Panics
    ///
    /// If there is none, or the folder for temporary files cannot be written: the test cannot run.
    pub fn free() -> Self {
        // One folder for each user: nobody can lock the files of another.
        let user = std::env::var("USER").unwrap_or_default();
        let folder = std::env::temp_dir().join(format!("holdfast-test-ports-{user}"));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("the system has random bytes");
        let ports = PORTS.end() - PORTS.start() + 1;
        let begin = u16::from_le_bytes(random) % ports;
        let number = |step| PORTS.start() + (begin + step) % ports;
        (0..ports)
            .map(number)
            .find_map(|number| {
                let reserved = File::create(folder.join(number.to_string())).ok()?;
                reserved.try_lock().ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self {
                    number,
                    _reserved: reserved,
                })
            })
            .expect("one of twenty thousand ports is free")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
