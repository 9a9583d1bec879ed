//! A connection that costs little beside the server it measures: HTTP, and nothing of S3.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Failure;

/// As much as a fast reader takes at once; hyper's own choice is less.
const READ_BUFFER: usize = 1024 * 1024;

/// One connection, one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<BoxBody<Bytes, Infallible>>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection); // the request in flight reports its failure
        Ok(Self {
            requests,
            host: address.to_string(),
        })
    }

    /// Puts `copies` of these bytes one after another as one object.
    pub(crate) async fn put(
        &mut self,
        target: &str,
        bytes: &Bytes,
        copies: usize,
    ) -> Result<(), Failure> {
        let length = bytes.len() * copies;
        let body = if copies == 1 {
            Full::new(bytes.clone()).boxed()
        } else {
            let bytes = bytes.clone();
            let frames = (0..copies).map(move |_| Ok(Frame::data(bytes.clone())));
            StreamBody::new(stream::iter(frames)).boxed()
        };
        let mut response = self.send(Method::PUT, target, body, length).await?;
        drain(&mut response).await?;
        Ok(())
    }

    /// Gets an object and gives its length.
    pub(crate) async fn get(&mut self, target: &str) -> Result<u64, Failure> {
        let mut response = self
            .send(Method::GET, target, Empty::new().boxed(), 0)
            .await?;
        drain(&mut response).await
    }

    /// Gets an object whole.
    pub(crate) async fn get_whole(&mut self, target: &str) -> Result<Bytes, Failure> {
        let response = self
            .send(Method::GET, target, Empty::new().boxed(), 0)
            .await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// The answer to any request, whatever its status.
    pub(crate) async fn ask(
        &mut self,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Failure> {
        let host = HeaderValue::from_str(&self.host)?;
        request.headers_mut().insert(header::HOST, host);
        self.requests.ready().await?;
        let request = request.map(|body| Full::new(body).boxed());
        let (parts, body) = self.requests.send_request(request).await?.into_parts();
        Ok(Response::from_parts(
            parts,
            body.collect().await?.to_bytes(),
        ))
    }

    async fn send(
        &mut self,
        method: Method,
        target: &str,
        body: BoxBody<Bytes, Infallible>,
        length: usize,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.host);
        if length > 0 {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        self.requests.ready().await?;
        let response = self.requests.send_request(request.body(body)?).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let refusal = response.into_body().collect().await?.to_bytes();
        Err(format!("{status}: {}", String::from_utf8_lossy(&refusal)).into())
    }
}

async fn drain(response: &mut Response<Incoming>) -> Result<u64, Failure> {
    let mut length = 0;
    while let Some(frame) = response.body_mut().frame().await {
        if let Some(data) = frame?.data_ref() {
            length += u64::try_from(data.len())?;
        }
    }
    Ok(length)
}
