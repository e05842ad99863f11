//! What programs and desktops leave in folders that is nobody's file: left out unless somebody asks for it.

use std::sync::LazyLock;

use super::left_out::LeftOut;
use super::pattern::{Pattern, name_of};

/// Files that a program keeps until it is done with another: whoever sent one would send half a file, or a lock. Only names
/// that nobody would give a file of their own: `*.tmp` is none of them.
const TEMPORARY: &[&str] = &[
    // Browsers and download programs.
    "*.part",
    "*.part-Frag*",
    "*.crdownload",
    "*.download",
    "*.partial",
    "*.opdownload",
    "*.filepart",
    "*.fdmdownload",
    "*.aria2",
    "*.ytdl",
    "*.![uU][tT]",
    "*.!q[bB]",
    "*.bc!",
    ".com.google.Chrome.??????",
    ".org.chromium.Chromium.??????",
    // Office programs.
    "~$*",
    "~WRL*.tmp",
    "~WRD*.tmp",
    "~DF*.tmp",
    "ppt[0-9A-F]*.tmp",
    "[0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F].tmp",
    ".~lock.*#",
    // Editors.
    ".*.sw[a-px]",
    ".*.un~",
    ".*.kate-swp",
    ".#*",
    "#*#",
    "*___jb_tmp___",
    "*___jb_old___",
    ".goutputstream-??????",
    // Programs that copy and synchronise.
    ".syncthing.*.tmp",
    "~syncthing~*.tmp",
    ".~tmp~/",
    ".rsync-partial/",
    ".*.??????",
    ".*.~[0-9a-f]*",
    "._sync_*.db*",
    ".nfs00*",
    ".fuse_hidden*",
];

/// What a desktop keeps for itself.
const SYSTEM: &[&str] = &[
    ".DS_Store",
    "._*",
    ".AppleDouble/",
    ".AppleDB/",
    ".Spotlight-V100/",
    ".Trashes/",
    ".fseventsd/",
    ".TemporaryItems/",
    ".DocumentRevisions-V100/",
    ".apdisk",
    "[tT]humbs.db",
    "[tT]humbs.db:encryptable",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "[dD]esktop.ini",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    ".directory",
    ".Trash-[0-9]*/",
];

/// How rsync calls a file while it writes it: its name with six letters and digits behind it.
const BY_MKSTEMP: &str = ".*.??????";

static PATTERNS: LazyLock<Vec<(Pattern, LeftOut)>> = LazyLock::new(|| {
    let of = |lines: &[&str], why: LeftOut| {
        let patterns = lines.iter().filter_map(|line| Some((escaped(line)?, why.clone())));
        patterns.collect::<Vec<_>>()
    };
    [of(TEMPORARY, LeftOut::Temporary), of(SYSTEM, LeftOut::System)].concat()
});

/// Why something with the name at the end of `path` is left out unless somebody asks for it.
pub(super) fn left_out(path: &[u8], is_folder: bool) -> Option<LeftOut> {
    let name = name_of(path);
    let found = |(pattern, why): &(Pattern, LeftOut)| {
        let fits = pattern.text() != BY_MKSTEMP.as_bytes() || (!is_folder && is_by_mkstemp(path));
        (fits && pattern.matches(path, name, is_folder)).then(|| why.clone())
    };
    PATTERNS.iter().find_map(found)
}

/// `#` and `!` at the beginning mean something else in a rule file.
fn escaped(line: &str) -> Option<Pattern> {
    if line.starts_with('#') { Pattern::parse(format!("\\{line}").as_bytes()) } else { Pattern::parse(line.as_bytes()) }
}

/// Whether the six last characters are letters and digits, and look as if nobody had chosen them.
fn is_by_mkstemp(path: &[u8]) -> bool {
    let last = &path[path.len().saturating_sub(6)..];
    let upper = last.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let digits = last.iter().filter(|byte| byte.is_ascii_digit()).count();
    let lower = last.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    // A word with a capital is somebody's ending.
    let is_word = digits == 0 && (last[0].is_ascii_uppercase() && upper == 1);
    upper + digits + lower == 6 && upper > 0 && upper < 6 && !is_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_leave_is_told_from_files_of_people() {
        let why = |name: &str| left_out(name.as_bytes(), false);
        for name in [
            "a.iso.part",
            "a.pdf.crdownload",
            "dir/a.zip.download",
            "a.!ut",
            "~$report.docx",
            ".~lock.report.odt#",
            ".notes.txt.swp",
            "#notes#",
            ".#notes",
            ".syncthing.a.txt.tmp",
            "~WRL0003.tmp",
            "3F2A9C00.tmp",
            ".photo.jpg.aB3xY9",
            "a.b0f7a1c2.partial",
            ".goutputstream-A1B2C3",
        ] {
            assert_eq!(why(name), Some(LeftOut::Temporary), "{name}");
        }
        for name in [".DS_Store", "a/Thumbs.db", "desktop.ini", "._photo.jpg"] {
            assert_eq!(why(name), Some(LeftOut::System), "{name}");
        }
        assert_eq!(left_out(b"a/.Trash-1000", true), Some(LeftOut::System));
        assert_eq!(left_out(b"page.download", true), Some(LeftOut::Temporary), "a browser's folder");
        for name in [
            "report.tmp",
            "part",
            "a.parts",
            "notes~",
            "a.bak",
            "budget.swp",
            "~notes",
            "#1 hits.txt",
            ".bashrc",
            ".x.backup",
            ".x.Backup",
            ".x.202301",
            "download",
            "lock.odt#",
            "a.db",
            ".hidden",
        ] {
            assert_eq!(why(name), None, "{name}");
        }
    }
}
