//! As much of HTTP/1.1 as an attacker needs: written by hand, because no library sends what is not to be sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a connection may take: where the server's queue is full, it would hang for minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long an answer may take, where one is read.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const HEAD_BYTES: usize = 16 << 10;

/// Whom to call, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

impl Target {
    /// A connection on which nothing was said.
    pub(super) fn connect(&self) -> Result<TcpStream> {
        connect(self.address)
    }

    /// The head of a request. `length`: what is announced of the body.
    pub(super) fn head(&self, method: &str, path: &str, length: Option<usize>) -> String {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: attacker\r\nauthorization: Bearer {}\r\n", self.token);
        if let Some(length) = length {
            head += &format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        }
        head + "\r\n"
    }

    /// Sends a request and reads its answer: the status and the body.
    pub(super) fn exchange(
        &self,
        stream: &mut TcpStream,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<(u16, Vec<u8>)> {
        let request = self.head(method, path, body.map(str::len)) + body.unwrap_or_default();
        stream.write_all(request.as_bytes())?;
        answer(stream)
    }
}

/// Reads an answer: the status and the body.
pub(super) fn answer(stream: &mut TcpStream) -> Result<(u16, Vec<u8>)> {
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut answer = Vec::new();
    let head = loop {
        if let Some(end) = find(&answer, b"\r\n\r\n") {
            break end;
        }
        ensure!(answer.len() < HEAD_BYTES, "the answer's head does not end");
        more(stream, &mut answer)?;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    let length: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .context("the answer has no length")?;
    let mut body = answer.split_off(head + 4);
    while body.len() < length {
        more(stream, &mut body)?;
    }
    Ok((status, body))
}

/// A connection on which nothing was said.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the other side still holds the connection. What it sent is read and dropped, so that its end is seen behind it.
pub(super) fn is_open_read(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let mut buffer = [0; 4 << 10];
    let open = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::WouldBlock,
        }
    };
    open && stream.set_nonblocking(false).is_ok()
}

/// Whether the other side still holds the connection, as far as that can be seen without reading what it sent.
pub(super) fn is_open(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let open = match stream.peek(&mut [0]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    open && stream.set_nonblocking(false).is_ok()
}

fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 16 << 10];
    let read = stream.read(&mut buffer)?;
    ensure!(read > 0, "the server ended the connection");
    into.extend_from_slice(&buffer[..read]);
    Ok(())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_a_closed_connection_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = Target { address: listener.local_addr().expect("an address"), token: "t".into() };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 8];
            stream.read_exact(&mut request).expect("a request");
            stream.write_all(b"HTTP/1.1 429 Too Many\r\nContent-Length: 5\r\n\r\nhe").expect("written");
            stream.write_all(b"llo").expect("written");
            let (mut other, _) = listener.accept().expect("a second connection");
            other.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").expect("written");
            (stream, other)
        });
        let mut stream = target.connect().expect("connected");
        let mut other = target.connect().expect("connected");
        let answer = target.exchange(&mut stream, "GET", "/", None).expect("answered");
        assert_eq!(answer, (429, b"hello".to_vec()));
        assert!(is_open(&stream) && is_open_read(&mut other));
        drop(server.join().expect("no panic"));
        let limit = Duration::from_secs(5);
        crate::wait::until("the end", limit, || Ok((!is_open(&stream)).then_some(()))).expect("noticed");
        crate::wait::until("the end behind words", limit, || Ok((!is_open_read(&mut other)).then_some(())))
            .expect("noticed");
    }
}
