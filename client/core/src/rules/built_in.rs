//! What programs and desktops leave in folders that is nobody's file: left out unless somebody asks for it.

use std::sync::LazyLock;

use super::left_out::LeftOut;
use super::pattern::{Pattern, name_of};

/// Files that a program keeps until it is done with another: whoever sent one would send half a file, or a lock. Only names
/// that nobody would give a file of their own: `*.tmp` is not among them. Here and below case does not matter, and all is written small.
const TEMPORARY: &[&str] = &[
    // Browsers and download programs.
    "*.part",
    "*.part-frag*",
    "*.crdownload",
    "*.download",
    "*.partial",
    "*.opdownload",
    "*.filepart",
    "*.fdmdownload",
    "*.aria2",
    "*.ytdl",
    "*.!ut",
    "*.!qb",
    "*.bc!",
    ".com.google.chrome.??????",
    ".org.chromium.chromium.??????",
    ".com.brave.browser.??????",
    ".com.microsoft.edge.??????",
    ".com.vivaldi.vivaldi.??????",
    ".com.operasoftware.opera.??????",
    // Office programs.
    "~$*",
    ".~$*",
    "~wrl*.tmp",
    "~wrd*.tmp",
    "~df*.tmp",
    "word work file *.tmp",
    "ppt[0-9a-f]*.tmp",
    "[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].tmp",
    ".~lock.*#",
    "lu[0-9][0-9][0-9]*.tmp",
    "*.laccdb",
    "*.ldb",
    "*.dwl",
    "*.dwl2",
    "*.sb-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-??????",
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
    "*.ffs_tmp",
    ".dropbox.cache/",
    ".tmp.drivedownload/",
    ".tmp.driveupload/",
    ".stfolder/",
    ".stversions/",
    ".*.icloud",
    ".smbdelete*",
    ".nfs00*",
    ".fuse_hidden*",
];

/// What a desktop keeps for itself.
const SYSTEM: &[&str] = &[
    ".ds_store",
    "._*",
    ".appledouble/",
    ".appledb/",
    ".spotlight-v100/",
    ".trashes/",
    ".fseventsd/",
    ".temporaryitems/",
    ".documentrevisions-v100/",
    ".apdisk",
    ".localized",
    "thumbs.db",
    "thumbs.db:encryptable",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$recycle.bin/",
    "system volume information/",
    ".directory",
    ".trash-[0-9]*/",
];

/// `.git` is a file in a working tree beside the first.
const VERSION_CONTROL: &[&str] = &[".git", ".hg/", ".svn/"];

/// Ours. That of git is part of what it keeps.
const RULES: &[&str] = &[".filemillignore"];

/// How rsync calls a file while it writes it: its name with six letters and digits behind it.
const BY_MKSTEMP: &str = ".*.??????";

static PATTERNS: LazyLock<Vec<(Pattern, LeftOut)>> = LazyLock::new(|| {
    let of = |lines: &[&str], why: LeftOut| {
        let patterns = lines.iter().filter_map(|line| Some((escaped(line)?, why.clone())));
        patterns.collect::<Vec<_>>()
    };
    let (versions, rules) = (of(VERSION_CONTROL, LeftOut::VersionControl), of(RULES, LeftOut::Rules));
    [of(TEMPORARY, LeftOut::Temporary), of(SYSTEM, LeftOut::System), versions, rules].concat()
});

/// Why something with the name at the end of `path` is left out unless somebody asks for it.
pub(super) fn left_out(path: &[u8], is_folder: bool) -> Option<LeftOut> {
    let name = name_of(path).to_ascii_lowercase();
    // Nobody else wrote these.
    let mut steps = u64::MAX;
    let found = |(pattern, why): &(Pattern, LeftOut)| {
        let fits = pattern.text() != BY_MKSTEMP.as_bytes() || (!is_folder && is_by_mkstemp(path));
        (fits && pattern.matches(&name, &name, is_folder, &mut steps)).then(|| why.clone())
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
    // One in thirty has no capital; `sha256` is somebody's ending.
    let changes = last.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    upper + digits + lower == 6 && upper < 6 && !is_word && (upper > 0 || changes > 1)
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
            ".com.brave.Browser.a1b2c3",
            ".com.microsoft.Edge.abcdef",
            ".com.vivaldi.Vivaldi.abcdef",
            ".com.operasoftware.Opera.abcdef",
            ".a.pdf.icloud",
            ".smbdeleteAAA12",
            ".~$a.xlsx",
            "Word Work File A_1234.tmp",
            "lu1234abcd.tmp",
            "a.laccdb",
            "a.ldb",
            "a.dwl",
            "a.txt.sb-8f3b2c1a-AbCdEf",
            "a.ffs_tmp",
            "a.PART",
            ".a.txt.x7k2p9",
        ] {
            assert_eq!(why(name), Some(LeftOut::Temporary), "{name}");
        }
        for name in [".DS_Store", "a/Thumbs.db", "THUMBS.DB", "DESKTOP.INI", "desktop.ini", "._photo.jpg", ".localized"]
        {
            assert_eq!(why(name), Some(LeftOut::System), "{name}");
        }
        assert_eq!(left_out(b"a/.Trash-1000", true), Some(LeftOut::System));
        for name in [".dropbox.cache", ".tmp.drivedownload", ".tmp.driveupload", ".stfolder", ".stversions"] {
            assert_eq!(left_out(name.as_bytes(), true), Some(LeftOut::Temporary), "{name}");
            assert_eq!(why(name), None, "{name}");
        }
        for name in [".git", ".hg", "a/.svn"] {
            assert_eq!(left_out(name.as_bytes(), true), Some(LeftOut::VersionControl), "{name}");
        }
        assert_eq!((why(".git"), why(".filemillignore")), (Some(LeftOut::VersionControl), Some(LeftOut::Rules)));
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
            ".gitignore",
            "lure.tmp",
            "a.sha256",
            ".a.sha256",
            ".x.base64",
        ] {
            assert_eq!(why(name), None, "{name}");
        }
    }
}
