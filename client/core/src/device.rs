//! By what a server tells one device of a user from another: each reads events at its own pace, and what one has read waits for the others.

use filemill_seal::Digest;

/// Digits of a device's id.
const DIGITS: usize = 32;

/// The id of a home with this seed that is logged in by this token.
///
/// Of the token, too: a server knows a device for the token that it was first named with, and refuses it to any other. So another login of
/// the same home is another device, which reads from where the home is. Nobody learns the token from it: it is as random as that.
///
/// A home that is copied to another machine has the same seed, and shares the id: for the server both are one device, and a result that one
/// of them has read may be gone before the other asks.
pub(crate) fn device_id(seed: &str, token: &str) -> String {
    let mut id = Digest::of(format!("filemill device {seed} {token}").as_bytes()).to_string();
    id.truncate(DIGITS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_home_with_its_login() {
        let id = device_id("a", "fm_u_1");
        assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert_eq!(device_id("a", "fm_u_1"), id);
        assert!(device_id("b", "fm_u_1") != id && device_id("a", "fm_u_2") != id);
    }
}
