//! What a client tells as data, in words for a terminal. Whatever is new there has no words here until somebody writes them: no match in
//! this file has an arm for the rest.

mod notes;

use std::path::Path;

use filemill_client::{
    AgainReason, AwaitedThing, Ending, Enrolment, Event, LeftOut, LookThrough, Reason, Recovery, SkipReason, Trouble,
    shown,
};

use crate::hints::{hint, hint_while_trying, with_hint};
use crate::lines::{plain, tell};
use notes::noted;

/// Says an event that is not a file's last word.
pub(crate) fn tell_event(event: &Event) {
    match event {
        // A line on standard output.
        Event::Finished(_) => {}
        Event::Skipped { path, reason } => tell(&format!("skipped `{}`: {}", shown(path), skipped(reason))),
        Event::SentAgain { path, reason } => {
            tell(&format!("`{}` is sent again: {}", shown(path), plain(&again(reason))));
        }
        Event::Waiting { path, reason } => tell(&format!("`{}` waits: {}", shown(path), plain(&awaited(reason)))),
        Event::Trouble(trouble) => tell_warning(trouble_message(trouble), trouble_hint(trouble)),
        Event::Recovered(recovery) => tell(&plain(&recovered(recovery))),
        Event::Note(note) => tell(&plain(&noted(note))),
    }
}

/// Says what does not work, and what to do about it.
pub(crate) fn tell_warning(message: String, hint: Option<String>) {
    tell(&format!("warning: {}", plain(&message)));
    if let Some(hint) = hint {
        tell(&format!("hint: {}", plain(&hint)));
    }
}

/// Why something in a folder is not sent.
pub(crate) fn skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::KeptResults => format!("{reason} with --out"),
        SkipReason::LeftOut { rule } => left_out(rule),
        SkipReason::OwnFolder
        | SkipReason::Link
        | SkipReason::NotAFile { .. }
        | SkipReason::LongName { .. }
        | SkipReason::RulesUnread { .. }
        | SkipReason::Unreadable { .. } => reason.to_string(),
    }
}

fn left_out(rule: &LeftOut) -> String {
    match rule {
        LeftOut::Unknown { .. } => format!("waiting: {rule}"),
        LeftOut::Temporary | LeftOut::System | LeftOut::VersionControl | LeftOut::Rules | LeftOut::Pattern { .. } => {
            format!("ignored: {rule}")
        }
    }
}

fn again(reason: &AgainReason) -> String {
    match reason {
        AgainReason::LeftOut { rule } => format!("a file of it is left out by now: {}", left_out(rule)),
        AgainReason::Changed { .. }
        | AgainReason::WriterWentOn
        | AgainReason::ResultNotShown { .. }
        | AgainReason::TimeOver
        | AgainReason::NotSentElsewhere
        | AgainReason::FormatNotAllowed
        | AgainReason::NeighbourChanged
        | AgainReason::VerdictLost
        | AgainReason::ChunksUnknown
        | AgainReason::ChunksNeverSealed
        | AgainReason::HeaderLost
        | AgainReason::UploadUnknown
        | AgainReason::Refused { .. } => reason.to_string(),
    }
}

fn awaited(reason: &AwaitedThing) -> String {
    match reason {
        AwaitedThing::Engine { error } => format!("{error}; it is sent when one does"),
        AwaitedThing::Descriptions { error } => {
            format!("waiting for engine descriptions: {error}; it is sent when they are there")
        }
        AwaitedThing::Result { detail } => format!("result still to fetch: {detail}"),
    }
}

fn trouble_message(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreachable { error } => format!("{error}; trying again"),
        Trouble::Silent { server, for_s } => {
            format!("server `{server}` has not answered for {for_s} seconds; waiting for it")
        }
        Trouble::NoPool { error } => format!("{error}; waiting for it"),
        Trouble::NothingSent { error } => format!("nothing can be sent now: {error}; what is to be sent waits"),
        Trouble::UploadRefused { upload, refusal } => {
            format!("the server does not take upload `{upload}` now: {}", refusal.message)
        }
        Trouble::UploadStalled { upload, error } => {
            format!("upload `{upload}` does not go on: {error}; trying again in a minute")
        }
        Trouble::Undescribed { error } => format!("{error}: what may be for them waits until somebody does"),
        Trouble::Undescribable { engines } => {
            format!("no processor could say which files suit {engines}: none is sent there")
        }
        Trouble::ResultsNotKept { folder, error } => {
            let folder = shown(folder);
            format!("results cannot be kept in `{folder}` now, and follow when they can: {error}")
        }
        Trouble::ResultsLeft { folder, count } => {
            let left = if *count == 1 { "one result is".to_owned() } else { format!("{count} results are") };
            format!("{left} not in `{}` yet", shown(folder))
        }
        Trouble::InTheWay { error } | Trouble::FolderNotWatched { error } => error.to_string(),
        Trouble::FolderGone { folder } => {
            format!("watched folder `{}` is gone, removed or moved away; waiting for it to come back", shown(folder))
        }
        Trouble::JournalFull { error } => format!("{error}: nothing is sent or taken in until there is some"),
    }
}

fn trouble_hint(trouble: &Trouble) -> Option<String> {
    let hint = match trouble {
        Trouble::Unreachable { error } | Trouble::UploadStalled { error, .. } => return hint_while_trying(error),
        Trouble::NoPool { error }
        | Trouble::NothingSent { error }
        | Trouble::Undescribed { error }
        | Trouble::InTheWay { error }
        | Trouble::FolderNotWatched { error } => return hint(error),
        Trouble::Silent { .. } => "check the address and the network; its operator's log may say why",
        Trouble::UploadRefused { refusal, .. } => return refusal.hint.clone(),
        Trouble::Undescribable { .. } => "name it with --engine NAME, or try again when another processor runs",
        Trouble::ResultsNotKept { .. } => "free some space there, or let it be written to; nothing is lost",
        Trouble::ResultsLeft { .. } => {
            "free some space there, or let it be written to; whoever watches or sends the same files again with this folder keeps them"
        }
        Trouble::FolderGone { .. } => return None,
        Trouble::JournalFull { .. } => "free some space: this program goes on by itself",
    };
    Some(hint.to_owned())
}

fn recovered(recovery: &Recovery) -> String {
    match recovery {
        Recovery::Server { server } => format!("server `{server}` answers again"),
        Recovery::Storage { origin } => format!("storage `{origin}` takes what is sent again"),
        Recovery::ResultsKept { folder, count } => {
            let results = if *count == 1 { "one result that waited is" } else { "all results that waited are" };
            format!("results are kept in `{}` again: {results} there", shown(folder))
        }
        Recovery::FolderBack { folder } => format!("watched folder `{}` is back", shown(folder)),
        Recovery::JournalRoom => "there is room for the journal again".to_owned(),
    }
}

/// What went wrong with a file; `None` if nothing did.
pub(crate) fn message(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Succeeded { .. } => None,
        Ending::NotSent { error: Some(error), .. } => Some(with_hint(error)),
        Ending::Unsuccessful { message, .. }
        | Ending::EndedByServer { message, .. }
        | Ending::NotSent { message, .. } => Some(message.clone()),
        Ending::NotShown { reason } => Some(reason.clone()),
    }
}

/// Why a file has no result yet, as one word in JSON.
pub(crate) fn reason_word(reason: &Reason) -> &'static str {
    // A link is left out like whatever a rule leaves out.
    if *reason == Reason::Link { "ignored" } else { reason.code() }
}

/// Why a file has no result yet.
pub(crate) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Settling => "settling: it is new, or still changing".to_owned(),
        Reason::NoEngine { error } => format!("waiting for an engine: {}", with_hint(error)),
        Reason::NoDescriptions { error } => format!("waiting for engine descriptions: {}", with_hint(error)),
        Reason::Ignored { rule } => format!("ignored: {rule}"),
        Reason::RulesUnread { rule } => format!("waiting: {rule}"),
        Reason::Link => SkipReason::Link.to_string(),
        Reason::Interrupted => "interrupted: `filemill resume` goes on with it".to_owned(),
        Reason::SentAgain => "changed while it was read: it is sent again".to_owned(),
        Reason::Offline { error } => format!("offline: {error}"),
        Reason::NoRecipient { error } => format!("waiting for the pool: {}", with_hint(error)),
        Reason::Uploading => "uploading".to_owned(),
        Reason::OlderServer => {
            "waiting for a server of this version: the one that answers does not know the format in which it is sealed"
                .to_owned()
        }
        Reason::ChunksMissing => "uploading again: chunks were lost".to_owned(),
        Reason::OverQuota => "over quota: the organisation's plan allows no more now".to_owned(),
        Reason::NoProcessor { lacks } if *lacks == ["header:2"] => {
            format!(
                "the processors of the pool are of an earlier version, which cannot read what was sealed; {}",
                start_one(lacks)
            )
        }
        Reason::NoProcessor { lacks } if !lacks.is_empty() => {
            format!("no processor has: {}; {}", lacks.join(", "), start_one(lacks))
        }
        Reason::NoProcessor { .. } => {
            "no processor can run this release: none of the pool is running, or none has this engine; \
                                an operator starts one with `filemill-processor run`"
                .to_owned()
        }
        Reason::Turn => "waiting for a turn".to_owned(),
        Reason::Running { per_mille, attempt: 0 | 1 } => format!("running: {} %", per_mille / 10),
        Reason::Running { per_mille, attempt } => format!("running: {} %, attempt {attempt}", per_mille / 10),
        Reason::Arriving => "done: `filemill results` fetches the result".to_owned(),
        Reason::Cancelled => {
            "cancelled, unless its result was there before: `filemill results` fetches what is known".to_owned()
        }
        Reason::StillToFetch { detail } => format!("result still to fetch: {detail}"),
        Reason::Forgotten => "the server does not know the upload: `filemill resume` sends it again".to_owned(),
        Reason::Failed { message } => {
            format!("failed: {message}; `filemill send` tries it again, `filemill cancel` forgets it")
        }
        Reason::Skipped { reason } => format!("skipped: {}", skipped(reason)),
        Reason::Unreadable { detail } => format!("unreadable: {detail}"),
        Reason::Unknown => "for a reason that this version does not know".to_owned(),
    }
}

/// How a watched folder is looked through.
pub(crate) fn look(look: &LookThrough) -> String {
    match look {
        LookThrough::Unknown => "was not looked through yet".to_owned(),
        LookThrough::Rarely => {
            "is watched: the system tells of changes, and all of it is looked through now and then".to_owned()
        }
        LookThrough::Often { why, every_s } => format!("is looked through about every {every_s} seconds: {why}"),
    }
}

/// That another pool is pinned than before, or another root of the same.
pub(crate) fn replaced_pool(former: &Enrolment, now: &Enrolment) -> String {
    let (pool, [before, after]) = (now.pool(), [former, now].map(Enrolment::fingerprint));
    if former.pool() == pool {
        return format!(
            "another root of pool `{pool}` is pinned than before: the fingerprint was {before}, and is {after} now"
        );
    }
    format!("pool `{}`, fingerprint {before}, which was pinned before, is replaced by `{pool}`", former.pool())
}

/// That another program of the home is waited for.
pub(crate) fn waiting_for_home(home: &Path) -> String {
    format!("waiting for another program that uses `{}`", shown(home))
}

/// Who starts a processor that has these names, and how.
pub(crate) fn start_one(lacks: &[String]) -> String {
    let (of_version, given): (Vec<&String>, Vec<&String>) = lacks.iter().partition(|name| is_of_version(name));
    let newer = if of_version.is_empty() { "" } else { " of a newer version" };
    let given: String = given.into_iter().map(|name| format!(" --ability {name}")).collect();
    format!("an operator starts one{newer} with `filemill-processor run{given}`")
}

/// Whether a processor has a name by what it is, and not because its operator says so.
fn is_of_version(name: &str) -> bool {
    ["contract:", "header:", "backend:"].iter().any(|kind| name.starts_with(kind)) || name == "long_parameters"
}

#[cfg(test)]
mod tests {
    use filemill_client::Error;

    use super::*;

    #[test]
    fn another_root_of_the_same_pool_is_said_with_both_fingerprints() {
        let enrolment = |pool: &str, byte: &str| {
            let root = byte.repeat(32);
            Enrolment::from_json(&format!(r#"{{"filemill_enrolment":1,"pool":"{pool}","root":"{root}"}}"#)).unwrap()
        };
        let (former, now, other) = (enrolment("main", "ab"), enrolment("main", "cd"), enrolment("other", "cd"));
        let said = replaced_pool(&former, &now);
        assert!(said.starts_with("another root of pool `main` is pinned"), "{said}");
        assert!(said.contains(&former.fingerprint()) && said.contains(&now.fingerprint()), "{said}");
        let said = replaced_pool(&former, &other);
        assert!(said.starts_with("pool `main`, fingerprint") && said.ends_with("is replaced by `other`"), "{said}");
    }

    #[test]
    fn what_no_processor_has_is_named() {
        let lacks = vec!["contract:2.0".to_owned(), "gpu".to_owned()];
        let said = reason(&Reason::NoProcessor { lacks });
        assert!(said.starts_with("no processor has: contract:2.0, gpu; an operator"), "{said}");
        let said = reason(&Reason::NoProcessor { lacks: Vec::new() });
        assert!(said.starts_with("no processor can run this release: none of the pool is running"), "{said}");
    }

    #[test]
    fn why_a_file_failed_is_a_sentence_whatever_the_system_said() {
        let failed = |message: &str| reason(&Reason::Failed { message: message.to_owned() });
        let then = "`filemill send` tries it again, `filemill cancel` forgets it";
        assert_eq!(failed("permission denied"), format!("failed: permission denied; {then}"));
        assert_eq!(failed("it vanished"), format!("failed: it vanished; {then}"));
    }

    #[test]
    fn a_file_that_was_not_sent_is_said_with_what_to_do() {
        let ending = |error| Ending::NotSent {
            code: filemill_client::NotSent::NoEngine,
            message: Error::NoEngineFits.to_string(),
            error,
        };
        let said = message(&ending(Some(Box::new(Error::NoEngineFits))));
        assert_eq!(said.unwrap(), "no engine takes such a file (hint: choose one with --engine NAME)");
        assert_eq!(message(&ending(None)).unwrap(), "no engine takes such a file");
    }

    #[test]
    fn results_that_were_kept_are_left_out_with_the_name_of_the_flag() {
        assert!(skipped(&SkipReason::KeptResults).ends_with("because results were kept here with --out"));
        let rule = LeftOut::Pattern { pattern: b"*.o".to_vec(), file: Some("/w/.gitignore".into()) };
        assert_eq!(skipped(&SkipReason::LeftOut { rule }), "ignored: pattern `*.o` of `/w/.gitignore`");
    }
}
