//! What an entry's path would do if somebody unpacked it without looking.

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Danger {
    /// It begins at a root, a drive or another machine.
    Absolute,
    /// It climbs out of the folder that it is unpacked into.
    Climbs,
}

/// What is wrong with the path of an entry. Backslashes separate as slashes do: somewhere they will.
pub(crate) fn danger(path: &str) -> Option<Danger> {
    if is_absolute(path) {
        return Some(Danger::Absolute);
    }
    climbs(path.split(['/', '\\'])).then_some(Danger::Climbs)
}

/// What is wrong with a link in the archive: `target` as seen from the folder of `path`.
pub(crate) fn link_danger(path: &str, target: &str) -> Option<Danger> {
    if is_absolute(target) {
        return Some(Danger::Absolute);
    }
    let folder = folder(path).unwrap_or("");
    climbs(folder.split(['/', '\\']).chain(target.split(['/', '\\']))).then_some(Danger::Climbs)
}

/// The folder that holds `path`, or nothing at the top.
pub(crate) fn folder(path: &str) -> Option<&str> {
    let path = path.trim_end_matches(['/', '\\']);
    path.rfind(['/', '\\']).map(|end| &path[..end])
}

/// `path` in one form: slashes, no `.` and no empty parts. Two paths with one form are one file.
pub(crate) fn normal(path: &str) -> String {
    let parts: Vec<_> = path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Whether a character makes a path look like another: a control character, or a mark that turns the direction of writing
/// (`exe.gpj` read as `jpg.exe`).
pub(crate) fn is_deceptive(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    matches!(bytes, [b'/' | b'\\', ..]) || matches!(bytes, [drive, b':', ..] if drive.is_ascii_alphabetic())
}

fn climbs<'a>(parts: impl Iterator<Item = &'a str>) -> bool {
    let mut depth = 0_i64;
    for part in parts {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_folder_is_found() {
        for (path, wrong) in [
            ("a/b.txt", None),
            ("./a/../b.txt", None),
            ("a..b/...", None),
            ("..", Some(Danger::Climbs)),
            ("../a", Some(Danger::Climbs)),
            ("a/../../b", Some(Danger::Climbs)),
            ("a\\..\\..\\b", Some(Danger::Climbs)),
            ("/etc/passwd", Some(Danger::Absolute)),
            ("C:\\a", Some(Danger::Absolute)),
            ("c:a", Some(Danger::Absolute)),
            ("\\\\host\\share", Some(Danger::Absolute)),
        ] {
            assert_eq!(danger(path), wrong, "{path}");
        }
    }

    #[test]
    fn a_link_is_seen_from_its_folder() {
        assert_eq!(link_danger("a/b/link", "../c"), None);
        assert_eq!(link_danger("a/b/link", "../../c"), None);
        assert_eq!(link_danger("a/b/link", "../../../c"), Some(Danger::Climbs));
        assert_eq!(link_danger("link", ".."), Some(Danger::Climbs));
        assert_eq!(link_danger("link", "/etc"), Some(Danger::Absolute));
    }

    #[test]
    fn one_file_has_one_form() {
        assert_eq!(normal("./a//b\\c/"), "a/b/c");
        assert_eq!((folder("a/b/c/"), folder("a")), (Some("a/b"), None));
        assert!(is_deceptive('\u{202e}') && is_deceptive('\n') && !"ä b.txt".contains(is_deceptive));
    }
}
