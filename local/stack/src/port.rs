use std::{io, net::Ipv4Addr};

use tokio::net::TcpListener;

use crate::Error;

/// Takes a port of 127.0.0.1, which nobody reaches from another machine. `variable` chooses another one.
pub(crate) async fn listen(
    port: u16,
    what: &'static str,
    variable: &'static str,
) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortTaken {
                port,
                what,
                variable,
            },
            _ => Error::Served { what, source },
        })
}
