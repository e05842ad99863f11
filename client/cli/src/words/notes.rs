//! What is good to know, in words.

use filemill_client::{Note, shown};

use super::again;
use crate::lines::files;

/// What is good to know.
pub(super) fn noted(note: &Note) -> String {
    match note {
        Note::Watching { folder } => format!("watching `{}`", shown(folder)),
        Note::LeftForLater { count, is_all } => {
            let at_least = if *is_all { "" } else { "at least " };
            let (wait, are) = if *count == 1 { ("waits", "it is") } else { ("wait", "they are") };
            let waiting = files(*count);
            format!("{at_least}{waiting} {wait}: {are} sent when `filemill watch` is started again")
        }
        Note::AwaitingDescriptions { engines } => {
            format!("waiting for a processor to say which files suit {engines}")
        }
        Note::OlderFormat { pool, format, newest, older_server } => {
            let why = match older_server {
                true => "the server is of an earlier version, and does not say what processors read".to_owned(),
                false => format!("no processor of pool `{pool}` that is there now reads format {newest}"),
            };
            format!(
                "sealed in the older format {format}: {why}. Nothing is lost by it, but there is no trial of a release with it, nobody of the \
                 organisation beside you can open results, and small files cost more processor time"
            )
        }
        Note::RulesNotFollowed { path } => format!(
            "note: `{}` counts for `filemill watch`, not for `filemill send`, which sends what it leaves out: leave that out with `--ignore`",
            shown(path)
        ),
        Note::TemporaryLeftOut { count } => {
            let (what, them) = if *count == 1 { ("file", "it") } else { ("files", "them") };
            format!("left out: {count} temporary or system {what}; `--temporary` sends {them}, too")
        }
        Note::VersionControlLeftOut { count } => {
            let places = if *count == 1 { "one place".to_owned() } else { format!("{count} places") };
            let what = "what version control keeps (`.git`, `.hg` or `.svn`), which may hold passwords";
            format!("left out: {what}, in {places}; `--temporary` would send it, too")
        }
        Note::NothingFound { named, files: 0, folders: 0, .. } => {
            let named: Vec<String> = named.iter().map(|path| format!("`{}`", shown(path))).collect();
            format!("no files in {}", named.join(", "))
        }
        Note::NothingFound { files, folders, by_pattern, built_in, .. } => {
            all_left_out((*files, *folders), (*by_pattern, *built_in))
        }
        Note::UploadGivenUp { upload, reason } => {
            format!("upload `{upload}` is given up, its files are sent again: {}", again(reason))
        }
        Note::OtherDatabase => "the server has another database than it had, or lost the last of it: results are read \
                                again from the beginning, and what it does not have is sent again"
            .to_owned(),
        Note::ResultsReadAgain => {
            "the server has results that do not come: they are read again from the beginning".to_owned()
        }
        Note::LostUpload { upload, path, others, in_part } => {
            let first = path.as_deref().map_or_else(|| upload.to_string(), shown);
            let others = match others {
                0 => String::new(),
                1 => " and another file".to_owned(),
                others => format!(" and {others} other files"),
            };
            let reason = if *in_part { "the server had lost a part of it" } else { "the server had lost it" };
            format!("sending `{first}`{others} again: {reason}")
        }
    }
}

/// That so many files and folders are all that there is, and that patterns, and what is left out unasked, leave so many of them out.
fn all_left_out((count, folders): (u64, u64), (by_pattern, built_in): (u64, u64)) -> String {
    let why = match (by_pattern, built_in) {
        (0, 0) => "by rules",
        (0, _) => "temporary or system files, or version control: `--temporary` sends them",
        (_, 0) => "by `--ignore`",
        _ => "by `--ignore`, or temporary or system files, or version control",
    };
    match (count, folders) {
        (1, 0) => format!("the only file was left out ({why})"),
        (count, 0) => format!("all {count} files were left out ({why})"),
        (0, 1) => format!("the only folder was left out ({why})"),
        (0, folders) => format!("all {folders} folders were left out ({why})"),
        (count, folders) => {
            let folders = format!("{folders} {}", if folders == 1 { "folder" } else { "folders" });
            format!("everything was left out, {} and {folders} ({why})", files(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use filemill_client::UploadId;

    use super::*;

    #[test]
    fn what_is_left_out_unasked_is_said_with_the_flag_that_sends_it_and_passwords_are_warned_of() {
        let said = noted(&Note::VersionControlLeftOut { count: 2 });
        let plain =
            "left out: what version control keeps (`.git`, `.hg` or `.svn`), which may hold passwords, in 2 places; ";
        assert!(said.starts_with(plain), "{said}");
        let said = noted(&Note::TemporaryLeftOut { count: 1 });
        assert_eq!(said, "left out: 1 temporary or system file; `--temporary` sends it, too");
    }

    #[test]
    fn that_the_older_format_is_sent_is_said_with_what_it_costs() {
        for (older_server, why) in
            [(false, "no processor of pool `main`"), (true, "the server is of an earlier version")]
        {
            let said = noted(&Note::OlderFormat { pool: "main".to_owned(), format: 1, newest: 2, older_server });
            assert!(said.starts_with(&format!("sealed in the older format 1: {why}")), "{said}");
            for cost in ["no trial", "nobody of the organisation", "more processor time"] {
                assert!(said.contains(cost), "{said}");
            }
        }
    }

    #[test]
    fn what_a_watcher_leaves_is_said_with_when_it_is_sent() {
        let left = |count, is_all| noted(&Note::LeftForLater { count, is_all });
        assert_eq!(left(1, true), "1 file waits: it is sent when `filemill watch` is started again");
        assert_eq!(left(2, false), "at least 2 files wait: they are sent when `filemill watch` is started again");
    }

    #[test]
    fn that_there_is_nothing_to_send_is_said_with_the_reason() {
        let nothing = |files, folders, by_pattern, built_in| {
            noted(&Note::NothingFound { named: vec!["a".into(), "b".into()], files, folders, by_pattern, built_in })
        };
        assert_eq!(nothing(0, 0, 0, 0), "no files in `a`, `b`");
        assert_eq!(nothing(3, 0, 3, 0), "all 3 files were left out (by `--ignore`)");
        assert_eq!(nothing(1, 0, 1, 0), "the only file was left out (by `--ignore`)");
        assert_eq!(nothing(2, 1, 3, 0), "everything was left out, 2 files and 1 folder (by `--ignore`)");
        assert!(nothing(1, 0, 0, 1).contains("`--temporary` sends them"));
    }

    #[test]
    fn what_was_lost_is_said_by_the_file_that_a_person_knows() {
        let upload = UploadId::random();
        let lost = |path, others| noted(&Note::LostUpload { upload, path, others, in_part: false });
        assert_eq!(lost(Some("a".into()), 0), "sending `a` again: the server had lost it");
        assert_eq!(lost(Some("a".into()), 2), "sending `a` and 2 other files again: the server had lost it");
        assert_eq!(lost(None, 1), format!("sending `{upload}` and another file again: the server had lost it"));
    }
}
