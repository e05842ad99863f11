//! What a server says of a token, checked and bounded before any of it is kept.

use filemill_api::WhoAmI;
use filemill_transport::Origin;

use crate::error::Error;

/// How many storage origins a server may have.
const ORIGINS_MAX: usize = 16;
/// The longest of them, in bytes: scheme, a name of 253 bytes, and port.
const ORIGIN_MAX_BYTES: usize = 300;
/// The longest name of an organisation or a user, in bytes.
const NAME_MAX_BYTES: usize = 1000;
/// What is shown of a text that is not what it should be, in characters.
const SHOWN_CHARACTERS: usize = 80;

/// The names of organisation and user, and the storage origins.
///
/// # Errors
///
/// [`Error::Forbidden`] for a token of another scope than `user`, [`Error::Protocol`] for what is too much, too long, or not a name
/// or an origin.
pub(super) fn checked(who: WhoAmI, server: &str) -> Result<(String, String, Vec<Origin>), Error> {
    let protocol = |detail: String| Error::Protocol { server: server.to_owned(), detail };
    if who.scope != "user" {
        let message = format!("the token is of scope `{}`", shortened(&who.scope));
        return Err(Error::Forbidden { server: server.to_owned(), message });
    }
    for (whose, name) in [("an organisation", &who.organisation), ("a user", &who.user)] {
        if name.len() > NAME_MAX_BYTES || name.contains(char::is_control) {
            return Err(protocol(format!("`{}` is not the name of {whose}", shortened(name))));
        }
    }
    let count = who.storage_origins.len();
    if count > ORIGINS_MAX {
        return Err(protocol(format!("it names {count} storage origins, more than {ORIGINS_MAX}")));
    }
    let origins: Result<_, Error> = who.storage_origins.iter().map(|text| origin(text).map_err(protocol)).collect();
    Ok((who.organisation, who.user, origins?))
}

/// The parser leaves out line breaks, and control characters at either end: such a text is no origin, whatever is left of it.
fn origin(text: &str) -> Result<Origin, String> {
    if text.len() > ORIGIN_MAX_BYTES || text.contains(|character: char| character.is_control() || character == ' ') {
        return Err(format!("`{}` is not an origin", shortened(text)));
    }
    text.parse().map_err(|error: filemill_transport::OriginError| format!("storage: {error}"))
}

fn shortened(text: &str) -> String {
    filemill_text::cut(text.to_owned(), SHOWN_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(origins: &[&str]) -> WhoAmI {
        WhoAmI {
            organisation: "acme".into(),
            user: "ada".into(),
            scope: "user".into(),
            pool: None,
            server: "1".into(),
            storage_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        }
    }

    #[test]
    fn an_origin_is_kept_as_it_is_compared() {
        let (organisation, user, origins) =
            checked(answer(&["https://S3.example:443/", "http://127.0.0.1:9000"]), "s").unwrap();
        let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
        assert_eq!((organisation.as_str(), user.as_str()), ("acme", "ada"));
        assert_eq!(origins, ["https://s3.example", "http://127.0.0.1:9000"]);
        checked(answer(&["http://127.0.0.1:1"; ORIGINS_MAX]), "s").unwrap();
    }

    #[test]
    fn nothing_is_kept_of_what_is_no_answer_to_a_login() {
        let long = format!("https://{}", "a".repeat(ORIGIN_MAX_BYTES));
        let many = ["http://127.0.0.1:1"; ORIGINS_MAX + 1];
        for origins in [
            &many[..],
            &[&long],
            &["file:///etc"],
            &["https://a/path"],
            &["https://a?b"],
            &["https://user@a"],
            &["http://127.0.0.1:1/\x1b[2J"],
            &["http://127.0.0.1:1\n"],
            &[" http://127.0.0.1:1"],
            &["http://127.0.0.1:1", ""],
            &["null"],
        ] {
            assert!(matches!(checked(answer(origins), "s"), Err(Error::Protocol { .. })), "{origins:?}");
        }
        let long = "a".repeat(NAME_MAX_BYTES + 1);
        for name in ["o\x1b[2J", "u\n", &long] {
            for who in [
                WhoAmI { organisation: name.to_owned(), ..answer(&[]) },
                WhoAmI { user: name.to_owned(), ..answer(&[]) },
            ] {
                let error = checked(who, "s").unwrap_err();
                assert!(matches!(error, Error::Protocol { .. }) && error.to_string().len() < 200, "{name}: {error}");
            }
        }
        let error = checked(WhoAmI { scope: long, ..answer(&[]) }, "s").unwrap_err();
        assert!(matches!(error, Error::Forbidden { .. }) && error.to_string().len() < 200, "{error}");
    }
}
