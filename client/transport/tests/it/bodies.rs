//! A body takes no more memory than it may, whatever its answer announces.

use bytes::Bytes;
use filemill_transport::{BodyError, read_body};
use reqwest::Method;

use crate::server::{Server, answer, http};

async fn body(answer: impl Into<Bytes>, max_bytes: usize, room_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let server = Server::start(answer).await;
    let response = http().request(Method::GET, &server.origin).send().await.expect("an answer");
    read_body(response, max_bytes, room_bytes).await
}

fn chunked(parts: &[&[u8]]) -> Bytes {
    let mut answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for part in parts {
        answer.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        answer.extend_from_slice(part);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer.into()
}

#[tokio::test]
async fn a_body_within_its_limit_is_read_into_the_room_it_was_given() {
    let read = body(answer("200 OK", "", b"content"), 7, 0).await.expect("within the limit");
    assert_eq!((&read[..], read.capacity()), (&b"content"[..], 7));
    let read = body(answer("200 OK", "", b"content"), 7, 4096).await.expect("within the limit");
    assert_eq!((&read[..], read.capacity()), (&b"content"[..], 4096));
    assert_eq!(body(answer("200 OK", "", b""), 0, 0).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_begun() {
    for announced in ["8", "1000000000000", "9223372036854775807"] {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {announced}\r\n\r\n");
        assert_eq!(body(head, 7, 0).await, Err(BodyError::TooLong), "{announced}");
    }
}

#[tokio::test]
async fn a_body_that_announces_nothing_ends_at_its_limit() {
    let part = [7; 1000];
    let parts = [&part[..]; 100];
    assert_eq!(body(chunked(&parts), 99_999, 0).await, Err(BodyError::TooLong));
    let read = body(chunked(&parts), 100_000, 0).await.expect("exactly the limit");
    assert_eq!(read.len(), 100_000);
    assert!(read.capacity() <= 100_000, "{}", read.capacity());
    // Neither a length nor chunks: it ends when the connection does.
    let until_close = [&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], &[7; 1000]].concat();
    assert_eq!(body(until_close.clone(), 999, 0).await, Err(BodyError::TooLong));
    assert_eq!(body(until_close, 1000, 0).await.map(|read| read.len()), Ok(1000));
}

#[tokio::test]
async fn what_comes_beyond_the_announced_length_is_no_part_of_the_body() {
    let longer =
        [&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\n"[..], b"content and more"].concat();
    assert_eq!(body(longer, 1000, 0).await, Ok(b"content".to_vec()));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let cut = [&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n"[..], b"content"].concat();
    assert!(matches!(body(cut, 1000, 0).await, Err(BodyError::Broken(_))));
    let cut = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n7\r\ncontent\r\n";
    assert!(matches!(body(cut.to_vec(), 1000, 0).await, Err(BodyError::Broken(_))));
}
