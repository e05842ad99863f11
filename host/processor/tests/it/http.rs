//! As much of HTTP/1.1 as a fake needs, and the freedom to break off in the middle.
//!
//! (A web framework in the tests would change the features of crates that wasmtime shares, and compile a second one.)

use std::future::Future;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request, as far as the fake looks at it.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// The header `Date`.
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
    /// It is HTML.
    pub(crate) is_page: bool,
    /// Closes the connection after half of the body.
    pub(crate) cut_off: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Self {
        Self { body: serde_json::to_vec(body).expect("JSON"), ..Self::status(status) }
    }
}

/// Answers every request with `answer`, until `stop` is cancelled.
pub(crate) async fn serve<F: Future<Output = Answer> + Send>(
    listener: TcpListener,
    stop: CancellationToken,
    answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
) {
    let connections = TaskTracker::new();
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (answer, stop) = (answer.clone(), stop.clone());
        connections.spawn(async move {
            // A node may close a connection whenever it likes.
            let _ = stop.run_until_cancelled(converse(stream, answer)).await;
        });
    }
}

async fn converse<F: Future<Output = Answer>>(stream: TcpStream, answer: impl Fn(Request) -> F) -> io::Result<()> {
    let mut stream = BufStream::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let answer = answer(request).await;
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        if let Some(location) = &answer.location {
            head += &format!("location: {location}\r\n");
        }
        if answer.is_page {
            head += "content-type: text/html\r\n";
        }
        if let Some(date) = &answer.date {
            head += &format!("date: {date}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        let end = if answer.cut_off { answer.body.len() / 2 } else { answer.body.len() };
        stream.write_all(&answer.body[..end]).await?;
        stream.flush().await?;
        if answer.cut_off {
            break;
        }
    }
    Ok(())
}

async fn read(stream: &mut BufStream<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { method, path, authorization, body }))
}
