//! One-time codes, which are redeemed for a token.

use std::io::ErrorKind;

use filemill_api::{JoinRequest, join_code};
use filemill_seal::Digest;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::api::Api;
use crate::error::Error;
use crate::home::{Home, on_thread, read_text, write_private};

/// While a code is redeemed: by which bytes this home is known again.
const JOINING: &str = "joining.json";

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Joining {
    /// SHA-256 of the code, hex.
    code: String,
    /// 32 bytes that nobody else knows, hex.
    redeemer: String,
}

/// Reads a code as it was shown or typed.
pub(super) fn parse(text: &str) -> Result<String, Error> {
    join_code(text).ok_or_else(|| Error::NoCode { is_token: text.trim_start().starts_with("fm_") })
}

/// Redeems a code. For ten minutes it can be done again, as the answer may have been lost: until [`forget`].
pub(super) async fn redeem(home: &Home, server: &Url, code: &str) -> Result<Zeroizing<String>, Error> {
    let code = code.to_owned();
    let sha256 = Digest::of(code.as_bytes()).to_string();
    let redeemer = on_thread(home, move |home| redeemer(home, &sha256)).await?;
    // Nothing is told while somebody waits for the answer.
    let api = Api::without_token(server.clone())?;
    let answer = api.join(&JoinRequest { code, redeemer, scope: "user".to_owned(), pool: None }).await?;
    Ok(Zeroizing::new(answer.token))
}

/// Removes what is of no more use when the token is kept. Blocks.
pub(super) fn forget(home: &Home) -> Result<(), Error> {
    let path = home.path().join(JOINING);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", &path, &error)),
        _ => Ok(()),
    }
}

/// The bytes by which this home is known again as the code's redeemer: those of an earlier attempt, or new ones, which are on the disk
/// before anybody is asked. Blocks.
fn redeemer(home: &Home, code_sha256: &str) -> Result<String, Error> {
    let path = home.path().join(JOINING);
    let before = read_text(&path)?.and_then(|text| serde_json::from_str::<Joining>(&text).ok());
    if let Some(before) = before.filter(|before| before.code == code_sha256) {
        return Ok(before.redeemer);
    }
    let mut bytes = [0; 32];
    let failed = |detail: String| Error::File { action: "write", path: path.clone(), detail };
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed("the operating system gave no random bytes".to_owned()))?;
    let joining = Joining { code: code_sha256.to_owned(), redeemer: Digest::of(&bytes).to_string() };
    let text = serde_json::to_string(&joining).map_err(|error| failed(error.to_string()))?;
    write_private(&path, &text)?;
    Ok(joining.redeemer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_attempt_with_a_code_is_by_the_same_redeemer_and_with_another_code_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let first = redeemer(&home, "a").unwrap();
        assert_eq!((first.len(), redeemer(&home, "a").unwrap()), (64, first.clone()));
        assert_ne!(redeemer(&home, "b").unwrap(), first);
        forget(&home).unwrap();
        assert_ne!(redeemer(&home, "a").unwrap(), first);
        forget(&home).and_then(|()| forget(&home)).unwrap();
    }

    #[test]
    fn a_token_is_no_code_and_that_is_said() {
        assert!(matches!(parse("fm_u_0123"), Err(Error::NoCode { is_token: true })));
        assert!(matches!(parse("0123-4567"), Err(Error::NoCode { is_token: false })));
    }
}
