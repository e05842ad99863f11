//! One-time codes, which are redeemed for a token.

use std::io::ErrorKind;
use std::path::Path;

use filemill_api::{JoinRequest, join_code};
use filemill_seal::Digest;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::patience::answered;
use crate::api::Api;
use crate::error::Error;
use crate::home::{Home, on_thread, read_text, write_private};
use crate::teller::Teller;
use crate::token::check_token;
use crate::wall_clock::now_s;

/// By which bytes this home is known again as a code's redeemer.
const JOINING: &str = "joining.json";
/// For how long: a code is good for ten minutes, and its redeemer is answered for ten more, in seconds.
const KEPT_S: u64 = 20 * 60;
/// Of how many codes, at most.
const CODES_MAX: usize = 16;

/// One in the file's list, the oldest first.
#[derive(Serialize, Deserialize)]
struct Joining {
    /// Whom the code was shown to. Another server is shown other bytes: with these it could redeem the code here.
    server: Url,
    /// SHA-256 of the code, hex.
    code: String,
    /// 32 bytes that nobody else knows, hex.
    redeemer: String,
    /// When they were made, in seconds since 1970.
    made_s: u64,
}

impl Joining {
    fn is_of(&self, server: &Url, code_sha256: &str) -> bool {
        self.server == *server && self.code == code_sha256
    }
}

/// Reads a code as it was shown or typed.
pub(super) fn parse(text: &str) -> Result<String, Error> {
    join_code(text).ok_or_else(|| Error::NoCode { is_token: text.trim_start().starts_with("fm_") })
}

/// Redeems a code. For ten minutes it can be done again, as the answer may have been lost, or the login have failed: until [`forget`].
pub(super) async fn redeem(home: &Home, server: &Url, code: &str, teller: &Teller) -> Result<Zeroizing<String>, Error> {
    let code = code.to_owned();
    let (asked, sha256) = (server.clone(), sha256(&code));
    let redeemer = on_thread(home, move |home| redeemer(home, &asked, &sha256)).await?;
    let api = Api::without_token(server.clone())?.telling(teller.clone());
    let request = JoinRequest { code, redeemer, scope: "user".to_owned(), pool: None };
    let answer = answered(&api, api.join(&request)).await?;
    let token = Zeroizing::new(answer.token);
    let detail = |detail: String| format!("what it gives is not a token: {detail}");
    check_token(&token).map_err(|wrong| Error::Protocol { server: api.server().to_owned(), detail: detail(wrong) })?;
    Ok(token)
}

/// Forgets the bytes that codes were redeemed by, but those of the code `but` at that server. Blocks.
pub(super) fn forget(home: &Home, but: Option<(&Url, &str)>) -> Result<(), Error> {
    let path = home.path().join(JOINING);
    let mut known = read(home)?;
    let before = known.len();
    known.retain(|joining| but.is_some_and(|(server, code)| joining.is_of(server, &sha256(code))));
    if known.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", &path, &error)),
            _ => Ok(()),
        };
    }
    if known.len() == before { Ok(()) } else { write(&path, &known) }
}

fn sha256(code: &str) -> String {
    Digest::of(code.as_bytes()).to_string()
}

/// The bytes by which this home is known again as the code's redeemer: those of an earlier attempt, or new ones, which are on the disk
/// before anybody is asked. Blocks.
fn redeemer(home: &Home, server: &Url, code_sha256: &str) -> Result<String, Error> {
    let path = home.path().join(JOINING);
    let mut known = read(home)?;
    // However old: the server knows until when.
    if let Some(before) = known.iter().find(|before| before.is_of(server, code_sha256)) {
        return Ok(before.redeemer.clone());
    }
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::File {
        action: "write",
        path: path.clone(),
        detail: "the operating system gave no random bytes".to_owned(),
    })?;
    let (redeemer, made_s) = (Digest::of(&bytes).to_string(), now_s());
    known.retain(|before| before.made_s.abs_diff(made_s) < KEPT_S);
    known.drain(..known.len().saturating_sub(CODES_MAX - 1));
    known.push(Joining { server: server.clone(), code: code_sha256.to_owned(), redeemer: redeemer.clone(), made_s });
    write(&path, &known)?;
    Ok(redeemer)
}

/// What the file has; nothing if there is none, or it is malformed.
fn read(home: &Home) -> Result<Vec<Joining>, Error> {
    let text = match read_text(&home.path().join(JOINING)) {
        Err(Error::Malformed { .. }) => None,
        text => text?,
    };
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn write(path: &Path, known: &[Joining]) -> Result<(), Error> {
    let text = serde_json::to_string(known)
        .map_err(|error| Error::Malformed { path: path.to_owned(), detail: error.to_string() })?;
    write_private(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_attempt_with_a_code_is_by_the_same_redeemer_and_with_another_code_or_server_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let [server, other] = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|server| Url::parse(server).unwrap());
        let redeemer = |server, code: &str| redeemer(&home, server, &sha256(code)).unwrap();
        let first = redeemer(&server, "a");
        assert_eq!((first.len(), redeemer(&server, "a")), (64, first.clone()));
        let second = redeemer(&server, "b");
        assert!(second != first && redeemer(&other, "a") != first);
        forget(&home, Some((&server, "a"))).unwrap();
        assert_eq!(redeemer(&server, "a"), first, "it is the login's own");
        assert_ne!(redeemer(&server, "b"), second, "another login took its place");
        forget(&home, None).and_then(|()| forget(&home, None)).unwrap();
        assert_ne!(redeemer(&server, "a"), first);
    }

    #[test]
    fn so_many_codes_are_known_and_none_for_longer_than_its_server_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let server = Url::parse("http://127.0.0.1:1").unwrap();
        let redeemers: Vec<_> = (0..20).map(|code| redeemer(&home, &server, &code.to_string()).unwrap()).collect();
        let known = read(&home).unwrap();
        assert!(known.iter().map(|joining| &joining.redeemer).eq(&redeemers[20 - CODES_MAX..]));
        let old = known.into_iter().map(|joining| Joining { made_s: joining.made_s - KEPT_S, ..joining });
        write(&home.path().join(JOINING), &old.collect::<Vec<_>>()).unwrap();
        redeemer(&home, &server, "new").unwrap();
        assert_eq!(read(&home).unwrap().len(), 1);
        std::fs::write(home.path().join(JOINING), "{").unwrap();
        redeemer(&home, &server, "new").unwrap();
    }

    #[test]
    fn a_token_is_no_code_and_that_is_said() {
        assert!(matches!(parse("fm_u_0123"), Err(Error::NoCode { is_token: true })));
        assert!(matches!(parse("0123-4567"), Err(Error::NoCode { is_token: false })));
    }
}
