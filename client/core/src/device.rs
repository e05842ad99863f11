//! By what a server tells one device of a user from another: each reads events at its own pace, and what one has read waits for the others.

use filemill_seal::Digest;

/// Digits of a device's id.
const DIGITS: usize = 32;

/// The id of a home with this seed, for the server and organisation that it is logged in to.
///
/// Not of the token: a server knows a device by its member and this id. A home that is logged in again goes on as the device that it was, and no
/// other is left behind whose place never moves again. Of the account, so that two servers cannot tell that it is one home.
///
/// A home that is copied to another machine has the same seed, and shares the id: for the server both are one device, and a result that one
/// of them has read may be gone before the other asks.
pub(crate) fn device_id(seed: &str, account: &str) -> String {
    let mut id = Digest::of(format!("filemill device {seed} {account}").as_bytes()).to_string();
    id.truncate(DIGITS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_home_in_an_account() {
        let id = device_id("a", "https://a/ acme");
        assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert_eq!(device_id("a", "https://a/ acme"), id);
        assert!(device_id("b", "https://a/ acme") != id && device_id("a", "https://b/ acme") != id);
    }
}
