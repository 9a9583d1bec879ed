//! The store on a TCP port.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::{HttpError, HttpResponse};
use tokio::net::TcpListener;

use crate::front::Front;
use crate::request::{Peer, RequestId};
use crate::unread_body::UnreadBody;

/// How long open requests may take to finish once the server is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes read from a connection at once, at most.
const READ_BUFFER: usize = 1024 * 1024;

/// Serves `service` on `listener` until `shutdown`.
pub(crate) async fn serve(
    service: Front,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(READ_BUFFER);
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        // Small answers would otherwise wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let service = service.clone();
        let answer = service_fn(move |request| answer(service.clone(), peer.ip(), request));
        let connection = graceful.watch(
            builder
                .serve_connection(TokioIo::new(stream), answer)
                .into_owned(),
        );
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("stopped while requests were still open");
    }
    Ok(())
}

/// Answers one request, with ids also where it never reached an operation.
async fn answer(
    service: Front,
    peer: IpAddr,
    mut request: http::Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    let id = RequestId::new().map_err(|error| HttpError::new(Box::new(error)))?;
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(Peer(peer));
    // A client that asked first has not sent its body, and need not.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let (body, rest) = UnreadBody::new(body);
    let request = http::Request::from_parts(head, s3s::Body::http_body_unsync(body));
    let mut response = service.call(request).await?;
    if !response.status().is_success() {
        if !asks_first {
            rest.drain().await;
        } else if rest.is_left() {
            // The connection is closed because its next bytes would be ambiguous. A client that is not told puts
            // it back into its pool, and its next request may meet the end of it.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
    id.add_to(response.headers_mut());
    Ok(response)
}

/// Errors of accepting that say nothing about the listener.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    // EMFILE and ENFILE: too many open files, which passes when connections close.
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}
