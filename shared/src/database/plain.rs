//! A connection without TLS that gives nobody a password.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready as ready_or_return};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// The beginning of a server's demand for the password as it is: `AuthenticationCleartextPassword`
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const DEMAND: [u8; 9] = *b"R\0\0\0\x08\0\0\0\x03";

/// The server asked for the password in clear text, where anybody may listen.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password in clear text, over a connection without TLS")]
pub(super) struct CleartextDemanded;

/// In the driver's place for TLS, with `sslnegotiation=direct`, so that not a byte is exchanged for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard;

impl MakeTlsConnect<Socket> for Guard {
    type Stream = Guarded;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _host: &str) -> io::Result<Self> {
        Ok(*self)
    }
}

impl TlsConnect<Socket> for Guard {
    type Stream = Guarded;
    type Error = io::Error;
    type Future = Ready<io::Result<Guarded>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Guarded { socket, seen: 0 }))
    }
}

/// A socket that fails when the first message of the server is [`DEMAND`]. The driver takes that message only as
/// the first.
#[derive(Debug)]
pub(super) struct Guarded {
    socket: Socket,
    /// How many bytes of the demand the server has sent; [`usize::MAX`] once it sent something else.
    seen: usize,
}

impl TlsStream for Guarded {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready_or_return!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        for byte in buffer.filled().iter().skip(before) {
            let Some(expected) = DEMAND.get(self.seen) else {
                break;
            };
            self.seen = if byte == expected {
                self.seen + 1
            } else {
                usize::MAX
            };
        }
        if self.seen == DEMAND.len() {
            let refusal = io::Error::new(io::ErrorKind::PermissionDenied, CleartextDemanded);
            return Poll::Ready(Err(refusal));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
