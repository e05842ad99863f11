//! A server of few words: each request is read as a whole and answered with the bytes that were laid ready for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use filemill_api::{SignedGet, SignedPut};
use filemill_transport::{Http, HttpOptions, Origins, Storage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) origin: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Answers every request with `answer`, on a connection of its own, and closes it.
    pub(crate) async fn start(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::start_with(move |_| answer.clone()).await
    }

    /// Answers each request with what `answer` makes of it.
    pub(crate) async fn start_with(answer: impl Fn(&Request) -> Bytes + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        // It ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Self { origin, requests }
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test panicked").clone()
    }

    /// Storage that may be asked here and nowhere else.
    pub(crate) fn storage(&self) -> Storage {
        Storage::new(http(), Origins::new([self.origin.parse().expect("an origin")]))
    }

    /// A presigned GET of an object here.
    pub(crate) fn get(&self, length: u64) -> SignedGet {
        get_at(&format!("{}/bucket/key?X-Amz-Signature=secret", self.origin), length)
    }

    /// A presigned PUT of an object here.
    pub(crate) fn put(&self, headers: &[(&str, &str)]) -> SignedPut {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SignedPut { url: format!("{}/bucket/key?X-Amz-Signature=secret", self.origin), headers, expires_in_s: 900 }
    }
}

pub(crate) fn http() -> Http {
    Http::new(HttpOptions { user_agent: "filemill-test/0", silence: None }).expect("a client")
}

pub(crate) fn get_at(url: &str, length: u64) -> SignedGet {
    SignedGet { url: url.to_owned(), length, sha256: "00".repeat(32), expires_in_s: 900 }
}

/// A whole answer: a status line's rest, headers, and a body of a known length.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Bytes {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat().into()
}

/// An error in S3's form.
pub(crate) fn s3_error(status: &str, headers: &str, code: &str) -> Bytes {
    answer(status, headers, format!("<Error><Code>{code}</Code><Message>x</Message></Error>").as_bytes())
}

async fn serve(
    mut connection: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<impl Fn(&Request) -> Bytes + Send + Sync>,
) {
    let Some(request) = read(&mut connection).await else { return };
    let answer = answer(&request);
    seen.lock().expect("no test panicked").push(request);
    // Whoever has read enough may be gone.
    let _ = connection.write_all(&answer).await;
    let _ = connection.shutdown().await;
}

async fn read(connection: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let mut body = bytes.split_off(end);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while body.len() < length {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { head, body })
}
