//! Reading a body without trusting its length.

use reqwest::Response;

use crate::describe::describe;

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It has, or announces, more bytes than it may have.
    TooLong,
    /// The connection broke, or the body ended before its announced length.
    Broken(String),
}

/// Reads a body of at most `max_bytes`. The buffer never has more room than that, or than `room_bytes`, whatever the answer
/// announces; it has room for `room_bytes` from the beginning on.
///
/// # Errors
///
/// [`BodyError::TooLong`], before anything is read where more is announced; [`BodyError::Broken`].
pub async fn read_body(mut response: Response, max_bytes: usize, room_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > max_bytes {
        return Err(BodyError::TooLong);
    }
    let mut body = Vec::with_capacity(room_bytes.max(announced));
    loop {
        match response.chunk().await {
            Ok(Some(part)) => append(&mut body, &part, max_bytes)?,
            Ok(None) => return Ok(body),
            Err(error) => return Err(BodyError::Broken(describe(error))),
        }
    }
}

/// Appends `part`. Where there is no room, it is doubled, but for no more than may still come: a vector that grows by itself would
/// take up to twice its limit.
fn append(body: &mut Vec<u8>, part: &[u8], max_bytes: usize) -> Result<(), BodyError> {
    let length = body.len().checked_add(part.len()).filter(|length| *length <= max_bytes).ok_or(BodyError::TooLong)?;
    if length > body.capacity() {
        let room = body.capacity().saturating_mul(2).clamp(length, max_bytes);
        body.reserve_exact(room - body.len());
    }
    body.extend_from_slice(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_unknown_length_takes_no_more_room_than_its_limit() {
        let mut body = Vec::new();
        for _ in 0..100 {
            append(&mut body, &[7; 100], 10_050).expect("within the limit");
            assert!(body.capacity() <= 10_050, "{}", body.capacity());
        }
        assert_eq!(append(&mut body, &[7; 51], 10_050), Err(BodyError::TooLong));
        append(&mut body, &[7; 50], 10_050).expect("exactly the limit");
        assert_eq!((body.len(), body.capacity()), (10_050, 10_050));
        assert_eq!(append(&mut body, &[7], 10_050), Err(BodyError::TooLong));
    }

    #[test]
    fn room_that_was_given_is_used_and_kept() {
        let mut body = Vec::with_capacity(1_000);
        append(&mut body, &[7; 600], 600).expect("within the limit");
        assert_eq!((body.len(), body.capacity()), (600, 1_000));
    }
}
