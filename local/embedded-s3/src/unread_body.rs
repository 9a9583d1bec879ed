//! A request body that outlives its refusal.
//!
//! A client that is refused before its body was read is still sending. Closing the connection then
//! resets it, and the client may never see why. So what was not read is read and thrown away first,
//! up to a limit.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Bytes that are thrown away at most; a client that sends more is cut off.
const LIMIT: usize = 64 * 1024 * 1024;
/// How long a client may take to send them.
const PATIENCE: Duration = Duration::from_secs(10);

type Slot = Arc<Mutex<Option<Incoming>>>;

/// A body that gives what is left of it back when it is dropped.
pub(crate) struct UnreadBody {
    body: Option<Incoming>,
    slot: Slot,
}

/// Holds what a dropped [`UnreadBody`] left.
pub(crate) struct Rest {
    slot: Slot,
}

impl UnreadBody {
    /// Wraps `body`.
    pub(crate) fn new(body: Incoming) -> (Self, Rest) {
        let slot = Slot::default();
        let rest = Rest {
            slot: Arc::clone(&slot),
        };
        (
            Self {
                body: Some(body),
                slot,
            },
            rest,
        )
    }
}

impl Rest {
    /// Whether the body was dropped before its end.
    pub(crate) fn is_left(&self) -> bool {
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Reads and throws away what is left.
    pub(crate) async fn drain(self) {
        let left = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut body) = left else { return };
        let draining = async {
            let mut read = 0;
            while read < LIMIT
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // Who takes longer is cut off.
        drop(tokio::time::timeout(PATIENCE, draining).await);
    }
}

impl Body for UnreadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for UnreadBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
