//! The body of a GET that fails on purpose.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::time::Sleep;

use crate::faults::Fault;

/// A body that goes wrong after so many bytes, if it does.
pub(crate) struct TroubledBody<B> {
    body: B,
    trouble: Option<Trouble>,
    /// Bytes until the trouble.
    left: usize,
    /// What came with the last good bytes, to be sent after the pause.
    rest: Option<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Cut,
    Stall(Duration),
    Corrupt,
}

impl<B> TroubledBody<B> {
    /// `body` with the trouble of `fault`, where it is one of bodies.
    pub(crate) fn new(body: B, fault: Option<Fault>) -> Self {
        let (trouble, after) = match fault {
            Some(Fault::CutBody(after)) => (Some(Trouble::Cut), after),
            Some(Fault::CorruptBody(after)) => (Some(Trouble::Corrupt), after),
            Some(Fault::StallBody { after, pause }) => (Some(Trouble::Stall(pause)), after),
            _ => (None, 0),
        };
        Self {
            body,
            trouble,
            left: usize::try_from(after).unwrap_or(usize::MAX),
            rest: None,
            pause: None,
        }
    }

    /// What is sent of `bytes`.
    fn pass(&mut self, mut bytes: Bytes) -> Bytes {
        let Some(trouble) = self.trouble else {
            return bytes;
        };
        if bytes.len() <= self.left {
            self.left -= bytes.len();
            return bytes;
        }
        match trouble {
            Trouble::Corrupt => {
                let mut wrong = BytesMut::from(&*bytes);
                if let Some(byte) = wrong.get_mut(self.left) {
                    *byte ^= 0xff;
                }
                self.trouble = None;
                wrong.freeze()
            }
            Trouble::Cut | Trouble::Stall(_) => {
                self.rest = Some(bytes.split_off(self.left));
                self.left = 0;
                bytes
            }
        }
    }
}

impl<B: Stream<Item = Result<Bytes, StdError>> + Unpin> Stream for TroubledBody<B> {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            match self.trouble {
                Some(Trouble::Cut) => {
                    let error = io::Error::from(io::ErrorKind::ConnectionReset);
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Trouble::Stall(duration)) => {
                    let pause = self
                        .pause
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(duration)));
                    std::task::ready!(pause.as_mut().poll(context));
                    self.trouble = None;
                }
                Some(Trouble::Corrupt) | None => {}
            }
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(rest)));
        }
        match std::task::ready!(Pin::new(&mut self.body).poll_next(context)) {
            Some(Ok(bytes)) => Poll::Ready(Some(Ok(self.pass(bytes)))),
            other => Poll::Ready(other),
        }
    }
}

impl<B: ByteStream<Item = Result<Bytes, StdError>> + Unpin> ByteStream for TroubledBody<B> {
    fn remaining_length(&self) -> RemainingLength {
        self.body.remaining_length()
    }
}
