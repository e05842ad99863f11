//! Rules, beside what git says.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use super::*;

/// A folder at which the next look hangs: from the first meeting to the second.
static HANGING: Mutex<Option<(PathBuf, Arc<Barrier>)>> = Mutex::new(None);

/// Hangs if the folder `at` is to.
pub(super) fn hang(at: &Path) {
    let hanging = HANGING.lock().unwrap().take_if(|(folder, _)| folder == at);
    if let Some((_, meeting)) = hanging {
        meeting.wait();
        meeting.wait();
    }
}

/// A small generator of numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len())]
    }
}

const NAMES: &[&str] =
    &["a", "b", "ab", "build", "keep", "x.log", "a.b", "log", "ba", "k", "{a,b}", "foo", "foobar", "A", "é"];
const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    "build",
    "keep",
    "*.log",
    "*",
    "**",
    "?",
    "[ab]",
    "[!a]",
    "[^b]*",
    "k*p",
    "a*",
    "*b",
    "foo**",
    "**a",
    "x.*",
    "{a,b}",
    "[[:alpha:]]",
    "[a-k]",
    "\\a",
    "??",
    "[]a]",
    "[a-]",
    "f*o",
    "a**b",
    "foo",
    "[b-a]",
    "[[:foo:]]",
    "[a",
    "é",
    "[[:upper:]]",
    "***",
];

fn rule(dice: &mut Dice) -> String {
    let mut line = String::new();
    if dice.roll(4) == 0 {
        line.push('!');
    }
    if dice.roll(3) == 0 {
        line.push('/');
    }
    let parts = 1 + dice.roll(3) * dice.roll(2);
    for part in 0..parts {
        if part > 0 {
            line.push('/');
        }
        line.push_str(dice.one_of(PIECES));
        if dice.roll(5) == 0 {
            line.push_str(dice.one_of(PIECES));
        }
    }
    if dice.roll(3) == 0 {
        line.push('/');
    }
    line.push_str(dice.one_of(&["", "", "", "", "", " ", "\\ ", "\r", "  \t"]));
    line
}

/// Makes some folders and files, and rule files in them; says which there are.
fn plant(root: &Path, dice: &mut Dice) -> BTreeSet<(PathBuf, bool)> {
    let mut folders = vec![root.to_owned()];
    let mut all = BTreeSet::new();
    for _ in 0..40 {
        let folder = folders[dice.roll(folders.len())].clone();
        let path = folder.join(dice.one_of(NAMES));
        if path.exists() || folder.components().count() > root.components().count() + 4 {
            continue;
        }
        let is_folder = dice.roll(2) == 0;
        if is_folder {
            fs::create_dir(&path).unwrap();
            folders.push(path.clone());
        } else {
            fs::write(&path, "").unwrap();
        }
        all.insert((path, is_folder));
    }
    for (number, folder) in folders.iter().enumerate() {
        if number == 0 || dice.roll(3) == 0 {
            let lines: Vec<String> = (0..1 + dice.roll(6)).map(|_| rule(dice)).collect();
            fs::write(folder.join(".gitignore"), lines.join("\n")).unwrap();
        }
    }
    all
}

/// What git says of each path: whether it is left out, itself or by a folder.
fn ask_git(root: &Path, paths: &BTreeSet<(PathBuf, bool)>) -> BTreeSet<PathBuf> {
    let mut git = Command::new("git");
    git.args(["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin", "-z"]);
    let mut git = git.current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git is there");
    let asked: Vec<u8> = paths
        .iter()
        .flat_map(|(path, _)| [path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes(), &[0]].concat())
        .collect();
    let mut input = git.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&asked));
    let output = git.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    let said = output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    said.map(|path| root.join(std::str::from_utf8(path).unwrap())).collect()
}

#[test]
fn what_git_leaves_out_is_left_out_and_nothing_else() {
    let seed = 0x2545_f491_4f6c_dd1d;
    let mut left_out = 0;
    for round in 0..100_u64 {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        assert!(Command::new("git").args(["init", "--quiet"]).current_dir(&root).status().unwrap().success());
        let mut dice = Dice(seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let paths = plant(&root, &mut dice);
        let git = ask_git(&root, &paths);
        let rules = Rules::new(&root, &[]).unwrap();
        for (path, is_folder) in &paths {
            let ours = rules.left_out(path, *is_folder);
            assert_eq!(
                ours.is_some(),
                git.contains(path),
                "round {round}, {}: {ours:?}\n{}",
                path.display(),
                rule_files(&root, path)
            );
            left_out += usize::from(ours.is_some());
        }
    }
    assert!(left_out > 300, "{left_out} paths prove little");
}

/// All rule files that hold for `path`.
fn rule_files(root: &Path, path: &Path) -> String {
    let above = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
    above
        .filter_map(|folder| {
            Some(format!("{}: {:?}", folder.display(), fs::read_to_string(folder.join(".gitignore")).ok()?))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn nothing_below_a_folder_that_is_left_out_comes_back_unless_the_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir_all(root.join("build/keep")).unwrap();
    fs::write(root.join(".gitignore"), "/build/\n!/build/keep/\n!/build/keep/**\n").unwrap();
    let rules = Rules::new(&root, &[]).unwrap();
    let why = rules.left_out(&root.join("build/keep/new"), false).expect("it is left out");
    assert_eq!(why.to_string(), format!("pattern `/build/` of `{}`", root.join(".gitignore").display()));
}

#[test]
fn rules_that_change_hold_at_once_and_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    let file = root.join("sub/a.secret");
    let rules = Rules::new(&root, &[]).unwrap();
    let is_left_out = || {
        rules.read_again();
        rules.left_out(&file, false).is_some()
    };
    assert!(!is_left_out());
    for (text, expected) in [("*.secret", true), ("*.sacret", false), ("*.secret", true), ("", false)] {
        // Of the same length, and within one tick of the clock.
        fs::write(root.join("sub/.gitignore"), text).unwrap();
        assert_eq!(is_left_out(), expected, "{text}");
        assert_eq!(rules.changed(), [root.join("sub")], "{text}");
    }
    fs::write(root.join(".gitignore"), "/sub/").unwrap();
    assert!(is_left_out());
    fs::remove_file(root.join(".gitignore")).unwrap();
    assert!(!is_left_out());
    assert!(rules.changed().contains(&root));
    assert!(!is_left_out() && rules.changed().is_empty());
}

#[test]
fn our_own_rule_files_are_over_those_of_git_and_the_users_globs_over_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join(".filemillignore"), "*.{key,pem}\n").unwrap();
    fs::write(root.join("sub/.gitignore"), "!*.key\n*.log\n").unwrap();
    let rules = Rules::new(&root, &["!keep.log".to_owned(), "cache/".to_owned()]).unwrap();
    let is_left_out = |name: &str, is_folder| rules.left_out(&root.join(name), is_folder).is_some();
    assert!(is_left_out("sub/a.key", false) && is_left_out("a.pem", false));
    assert!(is_left_out("sub/a.log", false) && !is_left_out("sub/keep.log", false) && !is_left_out("a.log", false));
    assert!(is_left_out("sub/cache", true) && !is_left_out("sub/cache", false) && is_left_out("cache/x", false));
    assert!(!is_left_out("", true) && rules.left_out(Path::new("/elsewhere/a.key"), false).is_none());
}

#[test]
fn a_pattern_brings_back_what_programs_leave() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::write(root.join(".gitignore"), "!*.part\n").unwrap();
    let rules = Rules::new(&root, &["!.DS_Store".to_owned()]).unwrap().without_temporary();
    let why = |name: &str| rules.left_out(&root.join(name), false).map(|why| why.to_string());
    assert_eq!((why("a.part"), why(".DS_Store")), (None, None));
    assert_eq!(why("a.crdownload").as_deref(), Some("temporary file"));
    assert_eq!(why("Thumbs.db").as_deref(), Some("system file"));
    let all = Rules::new(&root, &[]).unwrap();
    assert!(all.left_out(&root.join("a.crdownload"), false).is_none());
}

#[test]
fn no_gitignore_brings_back_what_git_keeps_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let rules = Rules::new(&root, &[]).unwrap().without_temporary();
    let why = |rules: &Rules, name: &str| {
        rules.read_again();
        rules.left_out(&root.join(name), true).map(|why| why.to_string())
    };
    for text in [".*\n!.git*\n", "*\n!*/\n", "!.git\n!.git/\n!.hg/\n!.svn/\n", "!*\n!.GIT\n"] {
        fs::write(root.join(".gitignore"), text).unwrap();
        for name in [".git", ".git/config", ".GIT", ".hg", ".svn"] {
            assert_eq!(why(&rules, name).as_deref(), Some("version control"), "{name} by {text:?}");
        }
    }
    let named = Rules::new(&root, &["!.git".to_owned()]).unwrap().without_temporary();
    let all = Rules::new(&root, &[]).unwrap();
    fs::write(root.join(".filemillignore"), "!.hg/\n").unwrap();
    assert_eq!((why(&named, ".git"), why(&named, ".hg"), why(&all, ".git")), (None, None, None));
    assert!(why(&named, ".svn").is_some() && why(&rules, ".git").is_some());
}

#[test]
fn a_folder_that_does_not_answer_keeps_nobody_from_asking_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::write(root.join(".gitignore"), "*.secret\n").unwrap();
    let rules = Rules::new(&root, &[]).unwrap();
    let meeting = Arc::new(Barrier::new(2));
    *HANGING.lock().unwrap() = Some((root.join("dead"), Arc::clone(&meeting)));
    std::thread::scope(|threads| {
        let hanging = threads.spawn(|| rules.left_out(&root.join("dead/a.secret"), false));
        meeting.wait();
        let (say, said) = mpsc::channel();
        let (rules, root) = (&rules, &root);
        threads.spawn(move || {
            rules.read_again();
            say.send((rules.left_out(&root.join("other/a.secret"), false), rules.unread()))
        });
        let said = said.recv_timeout(Duration::from_secs(10));
        meeting.wait();
        assert!(said.expect("it waited for the folder that hangs").0.is_some());
        assert!(hanging.join().unwrap().is_some());
    });
}

#[test]
fn patterns_that_take_too_long_are_told_until_they_are_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let (file, long) = (root.join(".gitignore"), root.join("a".repeat(240)));
    fs::write(&file, "*word*\n".repeat(10_000)).unwrap();
    let rules = Rules::new(&root, &[]).unwrap();
    assert!(rules.left_out(&root.join("short"), false).is_none() && rules.unread().is_empty());
    assert!(matches!(rules.left_out(&long, true), Some(LeftOut::Unknown { .. })));
    let said = format!("`{}` waits, and whatever has as long a name: its patterns take too long", long.display());
    // As long as it is so, whatever is asked of meanwhile: else it would be told again and again.
    for name in ["short", "other"] {
        rules.read_again();
        assert!(rules.left_out(&root.join(name), false).is_none());
        assert_eq!(rules.unread(), [(file.clone(), said.clone())]);
    }
    fs::write(&file, "*word*\n").unwrap();
    rules.read_again();
    assert!(rules.left_out(&long, true).is_none() && rules.unread().is_empty());
}

#[test]
fn a_rule_file_that_those_above_it_leave_no_memory_for_is_read_when_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let heavy = format!("/{}\n", "?".repeat(900)).repeat(900);
    // Two of these fit, three do not.
    let folders = [root.clone(), root.join("deep"), root.join("deep/deep")];
    fs::create_dir_all(&folders[2]).unwrap();
    for at in &folders {
        fs::write(at.join(".gitignore"), &heavy).unwrap();
    }
    // What was written just now is read each time.
    let stat = FileStat::of(&fs::symlink_metadata(folders[2].join(".gitignore")).unwrap());
    while !stat.is_settled_at(now_ns()) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let rules = Rules::new(&root, &[]).unwrap();
    let why = || {
        rules.read_again();
        rules.left_out(&folders[2].join("a"), false).map(|why| why.to_string())
    };
    let too_much = |why: Option<String>| why.is_some_and(|why| why.ends_with("above it take too much memory"));
    assert!(too_much(why()) && too_much(why()));
    fs::write(root.join(".gitignore"), "").unwrap();
    assert_eq!(why(), None, "it waits for ever");
    assert_eq!(rules.unread(), []);
    fs::write(root.join(".gitignore"), &heavy).unwrap();
    assert!(too_much(why()), "they take more memory than they may");
}

#[test]
fn a_bad_pattern_of_the_user_is_named() {
    let error = Rules::new(Path::new("/data"), &["a/{b".to_owned()]);
    assert!(matches!(error, Err(Error::Glob { glob, .. }) if glob == "a/{b"));
}

#[test]
#[cfg(target_os = "linux")]
fn where_rules_cannot_be_read_nothing_is_taken_unless_they_were_known_a_moment_ago() {
    use std::os::unix::fs::PermissionsExt;

    use crate::unprivileged::{unprivileged, with_nothing_opened};

    let test = "rules::tests::where_rules_cannot_be_read_nothing_is_taken_unless_they_were_known_a_moment_ago";
    unprivileged(test, || {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let (sub, file) = (root.join("sub"), root.join("sub/.gitignore"));
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(&sub).unwrap();
        fs::write(&file, "*.secret\n").unwrap();
        let rules = Rules::new(&root, &[]).unwrap();
        let left_out = |rules: &Rules, name: &str| {
            rules.read_again();
            rules.left_out(&sub.join(name), false)
        };
        assert!(left_out(&rules, "a.secret").is_some() && left_out(&rules, "a.other").is_none());
        // Where it lies can be asked, what stands in it cannot; and then neither.
        for (path, mode, text, next) in [(&file, 0o644, "*.other", "a.other"), (&sub, 0o755, "*.third", "a.third")] {
            let former = if path == &file { "a.secret" } else { "a.other" };
            fs::write(&file, text).unwrap();
            allow(path, 0);
            let new = Rules::new(&root, &[]).unwrap();
            for rules in [&rules, &new] {
                for name in [former, "a"] {
                    let why = left_out(rules, name);
                    assert!(
                        matches!(why, Some(LeftOut::Unknown { .. })),
                        "what may be left out by now was sent: {why:?}"
                    );
                }
                // That its rights change is told.
                assert_eq!(rules.unknown(), None);
                assert!(rules.unread()[0].1.ends_with("permission denied"), "{:?}", rules.unread());
            }
            allow(path, mode);
            for rules in [&rules, &new] {
                assert!(left_out(rules, "a").is_none() && left_out(rules, next).is_some());
                assert!(left_out(rules, former).is_none());
                assert!(rules.changed().contains(&sub) && rules.unread().is_empty());
            }
        }
        // Nothing can be opened at all for a while, which nobody can bring about by a file.
        let new = Rules::new(&root, &[]).unwrap();
        let (known, unknown) = with_nothing_opened(|| (left_out(&rules, "a.third"), left_out(&new, "a")));
        assert!(known.is_some(), "they were forgotten");
        assert!(matches!(unknown, Some(LeftOut::Unknown { .. })), "it was taken without a look at the rules");
        assert!(rules.unknown().is_none() && new.unknown().is_some());
        assert!(left_out(&new, "a").is_none() && left_out(&new, "a.third").is_some());
        assert!(new.changed().contains(&sub) && new.unread().is_empty());
    });
}

#[test]
#[cfg(unix)]
fn what_a_rule_file_may_leave_out_waits_as_long_as_it_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let (file, other) = (root.join("sub/.gitignore"), root.join("other"));
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(&file, "*.secret\n").unwrap();
    let rules = Rules::new(&root, &[]).unwrap();
    let why = |name: &str| {
        rules.read_again();
        rules.left_out(&root.join(name), false).map(|why| why.to_string())
    };
    let is_said = |reason: &str| {
        let said = why("sub/deep/a.secret").unwrap_or_default();
        assert!(said.ends_with(&format!("cannot be followed: {reason}")), "{said}");
        assert!(why("sub/a").is_some() && why("other").is_none());
        assert!(rules.unread().iter().any(|(path, said)| *path == file && said.ends_with(reason)));
    };
    assert!(why("sub/a.secret").is_some() && why("sub/a").is_none());
    fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    is_said("it is a named pipe");
    fs::remove_file(&file).unwrap();
    fs::write(&other, "").unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    is_said(crate::stat::LINK);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    is_said("it is a folder");
    fs::remove_dir(&file).unwrap();
    fs::write(&file, "a\n".repeat(20_000)).unwrap();
    is_said("it has more than 10000 patterns");
    rules.changed();
    fs::write(&file, format!("*.secret\n{}", "#".repeat(300_000))).unwrap();
    assert!(why("sub/a.secret").is_some() && why("sub/a").is_none() && rules.unread().is_empty());
    assert_eq!(rules.changed(), [root.join("sub")], "nobody looks for what waited");
}

#[test]
fn rules_take_no_more_memory_and_time_than_they_may() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let heavy = format!("/{}\n", "?".repeat(900)).repeat(900);
    let mut deep = root.clone();
    for number in 0..30 {
        for at in [&root.join(number.to_string()), &deep.join("deep")] {
            fs::create_dir(at).unwrap();
            fs::write(at.join(".gitignore"), &heavy).unwrap();
        }
        deep.push("deep");
    }
    let rules = Rules::new(&root, &[]).unwrap();
    for number in 0..30 {
        assert!(rules.left_out(&root.join(number.to_string()).join("a"), false).is_none());
        let state = rules.state();
        let lists = state.folders.values().flat_map(|folder| folder.own.iter().flat_map(|own| &own.list));
        let size_bytes: usize = lists.map(|list| list.size_bytes).sum();
        assert!(size_bytes <= 2 * LISTS_MAX_BYTES, "{size_bytes}");
    }
    let why = rules.left_out(&deep.join("a"), false).unwrap().to_string();
    assert!(why.ends_with("its patterns and those above it take too much memory"), "{why}");
    fs::write(root.join(".gitignore"), format!("/{}?\n", "*?".repeat(20)).repeat(9000)).unwrap();
    rules.read_again();
    let begun = std::time::Instant::now();
    for number in 0..20 {
        let why = rules.left_out(&root.join(format!("{number}/{}", "a".repeat(240))), false).unwrap().to_string();
        assert!(why.ends_with("its patterns take too long"), "{why}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
