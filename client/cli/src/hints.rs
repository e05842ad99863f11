//! What to do about an error, at a terminal: with the names of commands and flags.

use filemill_client::{EnvelopeError, Error, NoAnswer, PoolError, ResultError};

/// What to do about it.
pub(crate) fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::NotLoggedIn { .. } => {
            "paste the line that `filemill-processor join` printed, or run `filemill login --server URL --token-file FILE --pool ENROLMENT`"
        }
        Error::File { .. } | Error::Stopped => return None,
        Error::Malformed { .. } => "restore it from a backup, or log in again",
        Error::Address { .. } => "write it as https://host or https://host:port",
        Error::PlainHttp { .. } => "use https, or say --allow-plain-http on a network that you trust",
        Error::Unauthenticated { .. } => {
            "the token was mistyped or revoked: ask for a new one and run `filemill login` again; nothing is lost"
        }
        Error::NoToken { .. } => "nothing was sent; `filemill-server token create` prints a token",
        Error::NoCode { is_token: true } => {
            "others on this machine can read a command line: have it revoked (`filemill-server token revoke`), and give another with --token-file"
        }
        Error::NoCode { is_token: false } => {
            "it has 28 letters and digits, in groups of four with hyphens between them"
        }
        Error::NoRoot { .. } => {
            "paste all of the line that `filemill-processor join` printed: NAME:KEY, with 64 hex characters"
        }
        Error::Enrolment {
            error: error @ (PoolError::EnrolmentVersion { .. } | PoolError::LowestFormat { .. }),
            ..
        } => {
            return Some(error.hint());
        }
        Error::Enrolment { .. } => "the pool's operator has it: `enrolment.json`, in the folder of the pool",
        Error::Forbidden { .. } => "log in with a token of scope `user`",
        Error::Refused { body, .. } => return body.hint.clone(),
        Error::Unreachable { why, .. } => {
            return Some(format!("{}; nothing is lost, run the command again", advice(why)));
        }
        Error::Protocol { .. } => "check the address; client and server may be of versions that do not fit",
        Error::Storage { .. } => "nothing is lost: run `filemill resume` when storage works again",
        Error::ForeignOrigin { .. } => {
            "if the operator moved the storage, run `filemill login` again; else do not trust the server"
        }
        Error::WrongObject { .. } => "tell the server's operator",
        Error::NotKept { .. } => {
            "free some space there, let it be written to, or take away what is in the way, as the warning says; then run the same command again: what is analysed already is only written down"
        }
        Error::JournalFull { .. } => "free some space and run the command again: it goes on where it stopped",
        Error::Journal { .. } => "check that the disk works and that the home is yours alone",
        Error::JournalDamaged { .. } => {
            "restore it from a backup; or run `filemill journal new`, which puts it aside, takes over what can still be read in it, \
             and asks the server for its results again: key, login and pool stay, files that it does not know are sent again"
        }
        Error::JournalInOrder { .. } => "it holds the keys of what is on its way: leave it where it is",
        Error::JournalInUse { .. } => "end it first: `filemill watch`, or another command of this home",
        Error::HomeVersion { .. } | Error::JournalVersion { .. } => "update this program, or use another FILEMILL_HOME",
        Error::NoKeychain { .. } => {
            "unlock the session's keychain, or allow a file that only you can read: `--key-store file`, or FILEMILL_KEY_STORE=file"
        }
        Error::Keychain { .. } => "unlock the keychain and run the command again",
        Error::KeyLost { .. } => {
            "restore it with `filemill key import FILE`; `filemill key new` makes another, which opens no result that was sealed for the former"
        }
        Error::NoKey { .. } => "log in, or run `filemill key import FILE`",
        Error::OtherKey { .. } => {
            "export that one first; `filemill key import --replace FILE` or `filemill key new --replace` then puts another in its place"
        }
        Error::NoKeyIn { error, .. } => error.hint(),
        Error::Key(error) => error.hint(),
        Error::Pool(error) => return Some(error.hint()),
        Error::OtherRoot { .. } => {
            "compare the fingerprint with the one that `filemill-processor pool show` prints where the pool is: if it is another, log in with the \
             whole line that `filemill-processor join` printed there, or with that pool's enrolment; if it is the same, do not trust the server. \
             Nothing was replaced, and a one-time code stays good for this home for ten minutes"
        }
        Error::Clock { .. } => {
            "set this machine's clock, and keep it by NTP; if it is right, tell the server's operator. Nothing is lost"
        }
        Error::NoPool { others, .. } if !others.is_empty() => {
            "log in with the enrolment of a pool that it has; a processor of this one announces it when it starts: ask its operator"
        }
        Error::NoPool { .. } => {
            "a processor announces it when it starts: is one running for this pool, and does the pool serve your organisation? ask its operator"
        }
        Error::NoFormat { .. } => {
            "a processor of this version reads it: an operator starts one with `filemill-processor run`, and it goes on by itself then"
        }
        Error::NoFormatThere { .. } => {
            "the server's operator updates it; then it goes on by itself, about a minute later where its processors knew the older one"
        }
        Error::NoEngine { engine, .. } if engine.starts_with("local/") => {
            "a processor offers a new file in its folder of engines within about two seconds; its log says why not"
        }
        Error::NoEngine { .. } => {
            "choose one with --engine NAME; an operator publishes another with `filemill-server release publish`"
        }
        Error::WhichEngine { .. } | Error::NoEngineFits => "choose one with --engine NAME",
        Error::Undescribed { .. } => {
            "a processor says it within seconds of its start, and `filemill-server release publish` before; or choose an engine with --engine NAME"
        }
        // That names them already.
        Error::Parameters { detail, known, .. } if !known.is_empty() && !detail.contains(&**known) => {
            return Some(format!("its parameters are {known}; nothing was sent"));
        }
        Error::Parameters { .. } => "nothing was sent",
        Error::WhichParameters => "choose the engine with --engine NAME",
        Error::ParametersUnknown { .. } => {
            "a processor says it within seconds of its start, and `filemill-server release publish` before; nothing was sent"
        }
        Error::ParametersLost { .. } => {
            "`filemill send FILE` sends it with those that are given then: --param NAME=VALUE, or --parameters FILE"
        }
        Error::LongParameters { .. } => {
            "processors of an earlier version take 64 KiB: start one of this version, or shorten the parameters; nothing was sent"
        }
        Error::ReleaseGone { .. } => "`filemill send FILE --engine NAME` sends it for another",
        Error::EngineAway { .. } => {
            "start a processor that brings it, then `filemill resume`; `filemill send FILE --engine NAME` sends it for another"
        }
        Error::NoRelease { .. } => "an operator publishes one with `filemill-server release publish`",
        Error::Glob { .. } => "patterns are those of .gitignore",
        Error::Header(error) => error.hint(),
        Error::Result(ResultError::Envelope(EnvelopeError::NoMatchingKey)) => {
            "it was sealed for another key: restore that one with `filemill key import --replace FILE`, or send the file again"
        }
        Error::Result(error) => error.hint(),
        Error::NotSealed { path } if path.extension().is_some_and(|ending| ending == "age") => {
            "it is damaged, or something else was given such a name; `filemill results` lists those that the journal has"
        }
        Error::NotSealed { .. } => "those end in `.age`, as `--out` keeps them",
        Error::UnknownUpload { .. } => {
            "open it on the device that sent the file, with that device's FILEMILL_HOME; `filemill key export > key` and `age -d -i key FILE` show it unchecked"
        }
        Error::NoResult { .. } => {
            "`filemill results` fetches results and lists them, `filemill status` what is not done"
        }
        Error::OtherDescription { .. } => "the report is right, and is shown without titles and units",
        Error::Watch { is_denied: true, .. } => {
            "let this user read it: nothing in it can be found before; this program goes on by itself"
        }
        Error::Watch { .. } => "raise the limit, if it is one; changes are still found by looking every few seconds",
        Error::Watched { .. } => {
            "end that one first, or name another folder; two programs may send it to two engines: then name both with --engine"
        }
        Error::NoFolder { is_file: true, .. } => "name the folder that holds it, or send it with `filemill send`",
        Error::NoFolder { is_file: false, .. } => "make the folder first, or name another",
    };
    Some(hint.to_owned())
}

/// What to do about it while this program tries again.
pub(crate) fn hint_while_trying(error: &Error) -> Option<String> {
    if let Error::Unreachable { why, .. } = error {
        return Some(format!("{}; this program goes on by itself", advice(why)));
    }
    if let Error::Storage { .. } = error {
        let hint = "its operator's log says why, and a network's own page goes away by logging in there; this program goes on by itself";
        return Some(hint.to_owned());
    }
    hint(error)
}

/// What happened and what to do about it, where there is one line for both.
pub(crate) fn with_hint(error: &Error) -> String {
    hint(error).map_or_else(|| error.to_string(), |hint| format!("{error} (hint: {hint})"))
}

fn advice(why: &NoAnswer) -> &'static str {
    match why {
        NoAnswer::Unreached(_) | NoAnswer::CutOff(_) => "check the address and the network",
        NoAnswer::Failed(_) => "its operator's log says why",
        NoAnswer::Other(_) => {
            "its address is what `filemill-server serve` prints as `listening`, `storage` is another; a network's own page goes away by logging in there"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_need_not_run_anything_again() {
        let storage = Error::Storage { origin: "http://s".to_owned(), detail: "full".to_owned() };
        assert!(hint(&storage).unwrap().contains("filemill resume"));
        assert!(hint_while_trying(&storage).unwrap().ends_with("this program goes on by itself"));
        let why = NoAnswer::Unreached("refused".to_owned());
        let away = Error::Unreachable { server: "http://s".to_owned(), why };
        assert!(hint(&away).unwrap().ends_with("run the command again"));
        assert!(hint_while_trying(&away).unwrap().ends_with("this program goes on by itself"));
    }

    #[test]
    fn a_hint_does_not_name_once_more_what_the_error_names() {
        for known in ["`secrets`", "`a`, `b`"] {
            let detail = format!("there is no `secret`; the only one is {known}");
            let error = Error::Parameters { engine: "find".to_owned(), detail, known: known.to_owned() };
            assert_eq!(hint(&error).as_deref(), Some("nothing was sent"));
        }
    }

    #[test]
    fn a_hint_says_what_is_to_be_done_about_just_this() {
        let text = |text: &str| text.to_owned();
        for (error, said) in [
            (Error::Clock { server: text("s"), ahead_s: 9, detail: text("d") }, "set this machine's clock"),
            (Error::NotKept { folder: "out".into() }, "take away what is in the way"),
            (
                Error::NoPool { server: text("s"), pool: text("p"), others: text("`q`") },
                "log in with the enrolment of a pool that it has",
            ),
            (
                Error::NoPool { server: text("s"), pool: text("p"), others: String::new() },
                "is one running for this pool",
            ),
            (Error::Watch { path: "f".into(), detail: text("d"), is_denied: true }, "let this user read it"),
            (Error::Parameters { engine: text("e"), detail: text("d"), known: text("`a`") }, "its parameters are `a`"),
            (Error::Undescribed { engines: text("`table`") }, "--engine"),
            (Error::NoEngine { engine: text("local/a"), known: text("`b`") }, "in its folder of engines"),
        ] {
            let hint = hint(&error).unwrap();
            assert!(hint.contains(said), "{error}: {hint}");
        }
        assert_eq!(hint(&Error::Stopped), None);
        let fits = with_hint(&Error::NoEngineFits);
        assert_eq!(fits, "no engine takes such a file (hint: choose one with --engine NAME)");
    }
}
