//! HTTP by hand.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use filemill_api::SignedPut;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::{LIMIT, Mill};

/// A connection of which the system keeps as little as it can, so that what is not read stays with the server.
pub(super) async fn connect(address: SocketAddr) -> TcpStream {
    connect_from([127, 0, 0, 1], address).await
}

/// The same from another address of this machine.
pub(super) async fn connect_from(from: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// The socket address of the embedded storage.
pub(super) fn storage(mill: &Mill) -> SocketAddr {
    mill.server.addresses().storage.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The head of a request in HTTP/1.
pub(super) fn head(method: &str, path: &str, token: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{more}\r\n"
    )
}

/// The head of a PUT to the embedded storage.
pub(super) fn put_head(mill: &Mill, put: &SignedPut) -> String {
    let origin = &mill.server.addresses().storage;
    let (path, host) = (put.url.strip_prefix(origin).unwrap(), origin.strip_prefix("http://").unwrap());
    let headers: String = put.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n")
}

/// Sends this, and leaves the connection open.
pub(super) async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until the other side closes, or refuses to go on.
pub(super) async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..count]);
        }
    };
    timeout(LIMIT, read).await.expect("the connection stays open");
    bytes
}

/// A connection in HTTP/2.
pub(super) struct Two {
    pub(super) send: SendRequest<Bytes>,
    pub(super) ended: JoinHandle<Result<(), h2::Error>>,
}

/// Speaks HTTP/2 with windows of so many bytes for each answer.
pub(super) async fn two(address: SocketAddr, window: u32) -> Two {
    let stream = connect(address).await;
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(window)
        .initial_max_send_streams(1000)
        .handshake(stream)
        .await
        .unwrap();
    Two { send, ended: tokio::spawn(connection) }
}

/// An answer on its way.
pub(super) type Coming = h2::client::ResponseFuture;

impl Two {
    /// Begins a request, whose body goes on if it does not end here.
    pub(super) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        end: bool,
    ) -> (Coming, SendStream<Bytes>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://x{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        self.send = self.send.clone().ready().await.unwrap();
        self.send.send_request(request, end).unwrap()
    }

    pub(super) async fn get(&mut self, path: &str, token: &str) -> Response<RecvStream> {
        let (coming, _) = self.begin("GET", path, token, true).await;
        timeout(LIMIT, coming).await.unwrap().unwrap()
    }
}

/// Takes so many bytes a second of an answer; its trailers, or why it ended.
pub(super) async fn take(mut body: RecvStream, bytes_per_s: usize) -> Result<(usize, Option<HeaderMap>), h2::Error> {
    let mut taken = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        taken += piece.len();
        tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / bytes_per_s as f64)).await;
        let _ = body.flow_control().release_capacity(piece.len());
    }
    Ok((taken, body.trailers().await?))
}
