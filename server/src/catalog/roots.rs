//! Pools' roots: the public keys by which the server tells what a pool really said.
//!
//! The formats are those of docs/protocol.md, "Pool". They are read here once more, and not by `client/seal`, because that crate
//! opens what is sealed, and the server is built from nothing that could.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use filemill_api::{ErrorBody, SignedStatement};
use serde::Deserialize;

use crate::refusal::{bad_request, is_hex, is_name, shown};

/// Length of an enrolment file or a statement in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// The protocol's bound on serials and times: the largest integer that every JSON implementation keeps exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Longest life of a statement in seconds.
const MAX_LIFE_SECONDS: u64 = 31 * 24 * 3600;
/// What is signed comes after this.
const CONTEXT: &[u8] = b"filemill/1 pool";

/// A pool's name and the public key of its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRoot {
    pool: String,
    root: [u8; 32],
}

/// What the server reads of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) pool: String,
    pub(super) serial: i64,
    /// Seconds since 1970; 0 if it does not say.
    pub(super) not_before: i64,
}

impl PoolRoot {
    /// Reads an enrolment file, as `filemill-processor pool init` prints it.
    ///
    /// # Errors
    /// `bad_request`: it is not a root.
    pub fn from_enrolment(text: &str) -> Result<Self, ErrorBody> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Enrolment {
            filemill_enrolment: u64,
            pool: String,
            root: String,
            /// In version 2. It is a matter of those who send.
            #[serde(default, rename = "lowest_format")]
            lowest: Option<u64>,
        }
        let text = text.trim_end();
        let none = |why: String| ErrorBody {
            hint: Some(
                "it is what `filemill-processor pool init` printed, and `pool show` prints in its last line".to_owned(),
            ),
            ..bad_request(format!("that is no enrolment file: {why}"))
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(none(format!("it has more than {MAX_TEXT_BYTES} bytes")));
        }
        let enrolment: Enrolment = serde_json::from_str(text).map_err(|error| none(shown(&error.to_string())))?;
        match (enrolment.filemill_enrolment, enrolment.lowest) {
            (1, None) | (2, Some(_)) => {}
            (1 | 2, _) => return Err(none("`lowest_format` stands in version 2, and in no other".to_owned())),
            (version, _) => return Err(none(format!("it has version {version}, this program reads 1 and 2"))),
        }
        Self::new(&enrolment.pool, &enrolment.root)
    }

    /// From a pool's name and the key in hex.
    ///
    /// # Errors
    /// `bad_request`: one of them is not a root.
    pub(super) fn new(pool: &str, root: &str) -> Result<Self, ErrorBody> {
        if !is_name(pool) {
            return Err(bad_request(format!("pool `{}` is not a name", shown(pool))));
        }
        let mut key = [0; 32];
        if !is_hex(root, 64) || HEXLOWER.decode_mut(root.as_bytes(), &mut key).is_err() {
            return Err(bad_request(format!("the root of pool `{pool}` is not 64 lower-case hex characters")));
        }
        Ok(Self { pool: pool.to_owned(), root: key })
    }

    /// Name of the pool.
    #[must_use]
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The key, hex.
    pub(super) fn hex(&self) -> String {
        HEXLOWER.encode(&self.root)
    }

    /// What people compare: the same six groups that clients and processors show.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Context::new(&SHA256);
        hash.update(b"filemill/1 fingerprint");
        hash.update(&self.root);
        hash.update(self.pool.as_bytes());
        let digest = hash.finish();
        let text = BASE32_NOPAD.encode(&digest.as_ref()[..15]).to_lowercase();
        let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// Whether the root signed exactly this text.
    pub(super) fn signed(&self, statement: &str, signature: &str) -> bool {
        let mut bytes = [0; 64];
        if statement.len() > MAX_TEXT_BYTES
            || !is_hex(signature, 128)
            || HEXLOWER.decode_mut(signature.as_bytes(), &mut bytes).is_err()
        {
            return false;
        }
        let message = [CONTEXT, statement.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, self.root).verify(&message, &bytes).is_ok()
    }

    /// What a statement says that the root signed for this pool, whether or not it is valid now.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub(super) fn read(&self, signed: &SignedStatement) -> Result<Said, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Statement {
            filemill_pool: u64,
            pool: String,
            recipient: String,
            not_before: u64,
            not_after: u64,
            serial: u64,
        }
        if !self.signed(&signed.statement, &signed.signature) {
            return Err(format!("the pool's root, with the fingerprint {}, did not sign it", self.fingerprint()));
        }
        let said: Statement = serde_json::from_str(&signed.statement)
            .map_err(|error| format!("it is malformed: {}", shown(&error.to_string())))?;
        if said.filemill_pool != 1 {
            return Err(format!("it has version {}, this server reads version 1", said.filemill_pool));
        }
        if said.pool != self.pool {
            return Err(format!("it is pool `{}`'s", shown(&said.pool)));
        }
        if !said.recipient.starts_with("age1") {
            return Err("it names no recipient".to_owned());
        }
        let life = said.not_after.checked_sub(said.not_before).filter(|life| (1..=MAX_LIFE_SECONDS).contains(life));
        if life.is_none() {
            return Err("it is not valid for 1 second to 31 days".to_owned());
        }
        let bounded = |number: u64| i64::try_from(number).ok().filter(|_| number <= MAX_INTEGER);
        match (bounded(said.serial), bounded(said.not_before), bounded(said.not_after)) {
            (Some(serial), Some(not_before), Some(_)) => Ok(Said { pool: said.pool, serial, not_before }),
            _ => Err("it has a number above 2^53 - 1".to_owned()),
        }
    }
}

/// What a statement says of itself, whoever made it: of a pool whose root is not known.
///
/// # Errors
/// `bad_request`: it is not a root.
pub(super) fn read_unsigned(signed: &SignedStatement) -> Result<Said, ErrorBody> {
    #[derive(Deserialize)]
    struct Statement {
        pool: String,
        serial: u64,
    }
    if signed.statement.len() > MAX_TEXT_BYTES || !is_hex(&signed.signature, 128) {
        return Err(bad_request("the pool's statement is too long, or its signature is not 128 hex characters"));
    }
    let said: Statement = serde_json::from_str(&signed.statement).map_err(|error| {
        bad_request(format!("the pool's statement does not name pool and serial: {}", shown(&error.to_string())))
    })?;
    if !is_name(&said.pool) {
        return Err(bad_request(format!("pool `{}` is not a name", shown(&said.pool))));
    }
    let serial = i64::try_from(said.serial).ok().filter(|_| said.serial <= MAX_INTEGER);
    let serial = serial.ok_or_else(|| bad_request(format!("serial {} is above 2^53 - 1", said.serial)))?;
    Ok(Said { pool: said.pool, serial, not_before: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        enrolment: String,
        fingerprint: String,
        accepted: Vec<Accepted>,
        refused: Vec<Refused>,
    }

    #[derive(Deserialize)]
    struct Accepted {
        signed: SignedStatement,
        serial: i64,
        not_before: i64,
    }

    #[derive(Deserialize)]
    struct Refused {
        name: String,
        message: String,
        signed: SignedStatement,
    }

    /// The vectors that clients and processors are held to.
    #[test]
    fn what_clients_refuse_by_the_root_the_server_refuses_too() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/seal/vectors/statement.json");
        let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(path).expect("vectors")).expect("JSON");
        let root = PoolRoot::from_enrolment(&vectors.enrolment).expect("an enrolment");
        assert_eq!(root.fingerprint(), vectors.fingerprint);
        for one in vectors.accepted {
            let said = root.read(&one.signed).expect("a statement");
            assert_eq!((said.serial, said.not_before), (one.serial, one.not_before));
        }
        // These depend on when they are read, and on what was read before: that is for clients to judge.
        let by_time = ["was already in use", "expired at", "is valid from"];
        for one in vectors.refused {
            let timely =
                by_time.iter().any(|part| one.message.contains(part)) && !one.message.contains("which is not 1 to");
            assert_eq!(root.read(&one.signed).is_ok(), timely, "{}: {}", one.name, one.message);
        }
    }

    #[test]
    fn an_enrolment_is_read_strictly() {
        let good = format!(r#"{{"filemill_enrolment":1,"pool":"p","root":"{}"}}"#, "ab".repeat(32));
        assert!(PoolRoot::from_enrolment(&format!("{good}\n")).is_ok());
        let two = good.replace(":1,", ":2,").replace('}', r#","lowest_format":2}"#);
        assert!(PoolRoot::from_enrolment(&two).is_ok());
        for bad in [
            String::new(),
            good.replace(":1,", ":2,"),
            good.replace(":1,", ":3,"),
            two.replace(":2,", ":1,"),
            good.replace("\"p\"", "\"p q\""),
            good.replace("ab", "AB"),
            good.replace('}', r#","more":1}"#),
            format!("{good}{}", " x".repeat(600)),
        ] {
            assert!(PoolRoot::from_enrolment(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn serials_are_bounded_as_the_protocol_says() {
        let say = |serial: u64| SignedStatement {
            statement: format!(r#"{{"filemill_pool":1,"pool":"p","serial":{serial}}}"#),
            signature: "ab".repeat(64),
        };
        assert!(read_unsigned(&say(MAX_INTEGER)).is_ok());
        for serial in [MAX_INTEGER + 1, i64::MAX as u64, u64::MAX] {
            assert!(read_unsigned(&say(serial)).is_err(), "{serial}");
        }
    }
}
