//! Folders on a file system whose every change the system tells of: in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::*;
use crate::event::Recovery;
use crate::teller::Events;
use crate::unprivileged::{unprivileged, with_nothing_opened};
use crate::watch::settle::SETTLING_MAX;

/// No step of a test takes longer, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(60);

struct Test {
    folder: TempDir,
    met: mpsc::Receiver<Vec<Met>>,
    events: Events,
    looks: watch::Receiver<Vec<(PathBuf, Look)>>,
    taken: Arc<Taken>,
    stop: CancellationToken,
    found: Vec<(String, u64)>,
}

impl Test {
    /// Folders `a` and `b`; in them `*.quiet` is left out. Only one event is taken before somebody reads.
    fn new(prepare: impl FnOnce(&Path)) -> (Self, Folders) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        prepare(&path);
        let root = |name: &str| {
            let path = path.join(name);
            fs::create_dir_all(&path).unwrap();
            let rules = Rules::new(&path, &["*.quiet".to_owned()]).unwrap();
            (Root::new(&path).unwrap(), Arc::new(rules))
        };
        let roots = vec![root("a"), root("b")];
        let (met, found) = mpsc::channel(64);
        let (events, told) = Teller::new(1);
        let (looks, looked) = watch::channel(Vec::new());
        let (taken, stop) = (Arc::<Taken>::default(), CancellationToken::new());
        let ways = Ways { met, events, looks, taken: Arc::clone(&taken), stop: stop.clone() };
        let test = Self { folder, met: found, events: told, looks: looked, taken, stop, found: Vec::new() };
        (test, Folders::new(roots, None, ways))
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        write(&self.path(name), content);
    }

    /// Looks on a thread of its own until that is joined.
    fn look(&self, folders: Folders) -> JoinHandle<()> {
        std::thread::spawn(move || folders.look())
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < LIMIT, "waited in vain for {what}: {:?}, {:?}", self.found, self.looks.borrow());
            while let Ok(batch) = self.met.try_recv() {
                let file = |met| if let Met::File(found) = met { found } else { panic!("{met:?}") };
                let name = |found: Found| (String::from_utf8(found.name).unwrap(), found.stat.size);
                self.found.extend(batch.into_iter().map(file).map(name));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn until_found(&mut self, name: &str, bytes: u64) {
        self.until(name, |test| test.found.contains(&(name.to_owned(), bytes)));
    }

    fn until_rare(&mut self) {
        self.until("rare looks", |test| {
            let looks = test.looks.borrow();
            looks.len() == 2 && looks.iter().all(|(_, look)| look.is_none())
        });
    }

    fn end(self, looking: JoinHandle<()>) {
        self.stop.cancel();
        looking.join().unwrap();
    }
}

/// Looks through all of a root.
fn look_through(folders: &mut Folders, position: usize) {
    let begun = Instant::now();
    folders.watched[position].next_look = begun;
    folders.look_through(position);
    while folders.watched[position].whole.is_some() {
        assert!(begun.elapsed() < LIMIT, "it had no end");
        folders.look_through(position);
    }
}

/// Follows the hints that there are, and those that come while nothing is expected.
fn follow_until(folders: &mut Folders, holds: impl Fn(&Folders) -> bool) {
    let begun = Instant::now();
    while !holds(folders) {
        assert!(begun.elapsed() < LIMIT, "nobody told of it");
        folders.listener.wait(Duration::from_millis(5));
        for position in [0, 1] {
            folders.follow_hints(position);
        }
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_folder_that_is_shut_takes_no_trust_from_the_others_and_what_is_in_it_is_found_once_it_is_opened() {
    let name = "a_folder_that_is_shut_takes_no_trust_from_the_others_and_what_is_in_it_is_found_once_it_is_opened";
    unprivileged(&format!("watch::folders::tests::{name}"), || {
        let (mut test, folders) = Test::new(|path| {
            for folder in ["a/1", "a/2", "a/z"] {
                write(&path.join(folder).join("old.quiet"), "");
            }
            write(&path.join("a/lost+found/deep/file"), "1");
            allow(&path.join("a/lost+found"), 0);
        });
        let looking = test.look(folders);
        test.until_rare();
        let told = test.events.blocking_next();
        assert!(matches!(&told, Some(Event::Skipped { path, .. }) if path.ends_with("lost+found")), "{told:?}");
        for folder in ["1", "2", "z"] {
            test.write(&format!("a/{folder}/new"), "22");
            test.until_found(&format!("{folder}/new"), 2);
        }
        allow(&test.path("a/lost+found"), 0o755);
        test.until_found("lost+found/deep/file", 1);
        test.end(looking);
    });
}

#[test]
fn while_one_folder_is_looked_through_in_small_steps_the_others_are_looked_through_when_it_is_time() {
    let (test, mut folders) = Test::new(|path| {
        for number in 0..300 {
            write(&path.join(format!("a/{number}.quiet")), "");
        }
    });
    for position in [0, 1] {
        look_through(&mut folders, position);
        assert_eq!(folders.watched[position].look, Some(None));
    }
    // Nobody tells of what changes there.
    let long_ago = Instant::now();
    let often = Often { why: "of a network".to_owned(), every: LOOK_EVERY };
    (folders.watched[1].look, folders.watched[1].next_look) = (Some(Some(often)), long_ago);
    folders.watched[0].next_look = long_ago;
    while folders.watched[0].whole.as_ref().is_none_or(|whole| !whole.pauses()) {
        assert!(folders.take_turns());
    }
    assert!(folders.watched[1].next_look > long_ago, "nothing that is new in it would have been found");
    assert!(folders.watched[0].is_rare(), "it was no reason to look through the other one at once");
    drop(test);
}

#[test]
fn what_there_was_no_room_for_is_looked_for_soon_and_so_is_what_was_let_go() {
    let (test, mut folders) = Test::new(|path| {
        for number in 0..SETTLING_MAX {
            write(&path.join(format!("a/{number}")), "");
        }
    });
    for number in 0..SETTLING_MAX {
        let path = test.path(&format!("a/{number}"));
        let seen = fs::symlink_metadata(&path).unwrap();
        let found = Found::at(path, format!("{number}").into_bytes(), &seen).unwrap();
        // For so long nobody can be said to have closed it.
        assert!(folders.settling.met(0, found, Sign::None, Instant::now() + LIMIT));
    }
    let later = Instant::now() + LIMIT * 10;
    for watched in &mut folders.watched {
        (watched.is_known, watched.next_look) = (true, later);
    }
    test.write("a/more", "");
    test.write("b/more", "");
    let is_missed = |watched: &Watched| !watched.is_known && watched.next_look < later;
    let other = test.path("b/more");
    follow_until(&mut folders, |folders| is_missed(&folders.watched[0]) && folders.settling.has(&other));
    assert!(folders.watched[1].is_known, "it was all looked at");
    test.taken.leave(&test.path("a/1"));
    test.taken.find_again();
    folders.heed_losses();
    assert!(is_missed(&folders.watched[1]));
}

#[test]
fn files_that_never_come_to_rest_keep_neither_another_folder_nor_the_rest_of_theirs_waiting() {
    let held = SETTLING_MAX + 800;
    let (mut test, folders) = Test::new(|path| {
        for number in 0..held {
            write(&path.join(format!("a/held/{number}")), "1234567890");
        }
    });
    // Python because mapping a file is nothing that safe code can do.
    let program = "import mmap, os, sys\nmaps = []\nfor name in os.listdir(sys.argv[1]):\n  with open(sys.argv[1] + '/' + name, 'r+b') as f: maps.append(mmap.mmap(f.fileno(), 0))\nprint(1, flush=True)\nsys.stdin.read()";
    let mut writer = Command::new("python3");
    let writer = writer.args(["-c", program]).arg(test.path("a/held")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut writer) = writer.spawn() else {
        return filemill_text::tell!("skipped: there is no `python3`");
    };
    if std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut [0]).is_err() {
        writer.wait().unwrap();
        return filemill_text::tell!("skipped: so many files cannot be mapped");
    }
    let looking = test.look(folders);
    test.write("b/new", "22");
    test.until_found("new", 2);
    test.write("a/new", "333");
    test.until_found("new", 3);
    let is_said = |look: &Look| look.as_ref().is_some_and(|often| often.why == MANY_RESTLESS);
    test.until("the reason", |test| {
        test.looks.borrow().iter().any(|(path, look)| path.ends_with("a") && is_said(look))
    });
    assert_eq!(test.found.len(), 2, "it was taken from under its writer");
    drop(writer.stdin.take());
    writer.wait().unwrap();
    // Those that gave way come some looks later.
    test.until("most of them", |test| test.found.len() > held / 2);
    test.until("all of them", |test| test.found.len() == held + 2);
    test.end(looking);
}

#[test]
fn a_folder_whose_patterns_take_long_keeps_no_other_waiting() {
    let (test, mut folders) = Test::new(|path| {
        let patterns: String = (0..9000).map(|number| format!("*a*b{number}\n")).collect();
        write(&path.join("a/.gitignore"), &patterns);
        for number in 0..500 {
            write(&path.join(format!("a/{}{number}", "a".repeat(60))), "1");
        }
    });
    while folders.watched[1].look.is_none() {
        assert!(folders.take_turns());
    }
    assert!(folders.watched[0].look.is_none(), "it was looked through as a whole before the other one");
    for number in 0..500 {
        test.write(&format!("a/{}{number}", "a".repeat(60)), "22");
    }
    test.write("b/new", "1");
    let new = test.path("b/new");
    let begun = Instant::now();
    while !folders.settling.has(&new) {
        assert!(begun.elapsed() < LIMIT, "nobody told of it");
        folders.take_turns();
    }
    assert!(folders.listener.next(0).is_some(), "all that was told of the former was followed before");
}

#[test]
fn hints_that_come_without_end_keep_nothing_else_from_being_done() {
    let (test, mut folders) = Test::new(|_| {});
    for number in 0..3000 {
        test.write(&format!("a/{number}"), "1");
    }
    let (begun, mut before) = (Instant::now(), 0);
    while before < 3000 {
        folders.listener.wait(Duration::from_millis(50));
        folders.follow_hints(0);
        assert!(begun.elapsed() < LIMIT);
        let now = folders.settling.kept(0);
        assert!(now - before <= 1024, "{now} after {before}");
        before = now;
    }
    test.stop.cancel();
    test.write("a/more", "1");
    assert!(!folders.take_turns() && folders.has_ended());
}

#[test]
fn of_a_folder_that_may_not_be_read_or_is_gone_just_that_is_said() {
    let name = "of_a_folder_that_may_not_be_read_or_is_gone_just_that_is_said";
    unprivileged(&format!("watch::folders::tests::{name}"), || {
        let (mut test, folders) = Test::new(|path| {
            write(&path.join("a/file"), "1");
            allow(&path.join("a"), 0);
        });
        let looking = test.look(folders);
        let told = test.events.blocking_next();
        let is_it = |error: &Error| matches!(error, Error::Watch { is_denied: true, .. });
        assert!(matches!(&told, Some(Event::Trouble(Trouble::FolderNotWatched { error })) if is_it(error)), "{told:?}");
        let until_said = |test: &mut Test, name: &str, why: &str| {
            test.until(why, |test| {
                let is_it = |(path, look): &(PathBuf, Look)| {
                    path.ends_with(name) && look.as_ref().is_some_and(|look| look.why.contains(why))
                };
                test.looks.borrow().iter().any(is_it)
            });
        };
        until_said(&mut test, "a", "it is a folder that cannot be read: permission denied");
        fs::rename(test.path("b"), test.path("moved")).unwrap();
        until_said(&mut test, "b", "it is gone");
        allow(&test.path("a"), 0o755);
        test.until_found("file", 1);
        test.end(looking);
    });
}

#[test]
fn that_a_folder_is_gone_is_told_once_and_so_is_that_it_is_back() {
    let (mut test, folders) = Test::new(|path| write(&path.join("a/file"), "1"));
    let looking = test.look(folders);
    test.until_found("file", 1);
    fs::rename(test.path("a"), test.path("moved")).unwrap();
    let (folder, mut told) = (test.path("a"), Vec::new());
    let mut until_told = |test: &mut Test, count: usize| {
        test.until("it to be told", |test| {
            told.extend(test.events.try_next());
            told.len() == count
        });
        told.clone()
    };
    let said = until_told(&mut test, 1);
    assert!(matches!(&said[0], Event::Trouble(Trouble::FolderGone { folder: gone }) if *gone == folder), "{said:?}");
    fs::rename(test.path("moved"), test.path("a")).unwrap();
    let said = until_told(&mut test, 2);
    assert!(matches!(&said[1], Event::Recovered(Recovery::FolderBack { folder: back }) if *back == folder), "{said:?}");
    test.write("a/new", "22");
    test.until_found("new", 2);
    test.end(looking);
}

#[test]
fn what_nobody_could_be_told_of_is_told_the_next_time() {
    let (mut test, mut folders) = Test::new(|path| {
        fs::create_dir(path.join("b")).unwrap();
        for name in ["1", "2", "3"] {
            write(&path.join("a").join(name).join(".gitignore"), &"a".repeat(5 << 20));
            std::os::unix::fs::symlink("x", path.join("b").join(name)).unwrap();
        }
    });
    let mut told = HashSet::new();
    for _ in 0..6 {
        for position in [0, 1] {
            look_through(&mut folders, position);
        }
        if let Some(Event::Skipped { path, .. }) = test.events.try_next() {
            assert!(told.insert(path.clone()), "told twice: {path:?}");
        }
    }
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn a_file_that_another_user_has_made_and_not_written_yet_is_waited_for() {
    let name = "a_file_that_another_user_has_made_and_not_written_yet_is_waited_for";
    unprivileged(&format!("watch::folders::tests::{name}"), || {
        let (mut test, folders) = Test::new(|path| write(&path.join("of full length"), "333"));
        let looking = test.look(folders);
        test.until_rare();
        allow(test.folder.path(), 0o755);
        allow(&test.path("a"), 0o777);
        // As someone whose files the kernel does not show us.
        let mut writer = Command::new("setpriv");
        writer.args(["--reuid=65534", "--clear-groups", "sh", "-c", "exec cat > \"$0\""]).arg(test.path("a/empty"));
        let mut writer = writer.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = writer.stdin.take().unwrap();
        let made = test.path("a/empty");
        test.until("the empty file, where there are other users", |_| {
            made.exists() || writer.try_wait().unwrap().is_some()
        });
        if !made.exists() {
            filemill_text::tell!("skipped: only root can be another user, too");
            return test.end(looking);
        }
        // One that nobody closes either, and that is not empty.
        fs::hard_link(test.path("of full length"), test.path("a/linked")).unwrap();
        test.until_found("linked", 3);
        assert!(!test.found.iter().any(|(name, _)| name == "empty"), "it was taken before a byte was in it");
        std::io::Write::write_all(&mut input, b"4444").unwrap();
        drop(input);
        test.until_found("empty", 4);
        assert!(writer.wait().unwrap().success());
        assert_eq!(test.found.len(), 2, "{:?}", test.found);
        test.end(looking);
    });
}

#[test]
fn what_cannot_be_looked_at_for_a_moment_is_not_forgotten() {
    let name = "what_cannot_be_looked_at_for_a_moment_is_not_forgotten";
    unprivileged(&format!("watch::folders::tests::{name}"), || {
        let (mut test, mut folders) = Test::new(|path| {
            for folder in ["a/1", "b/1"] {
                fs::create_dir_all(path.join(folder)).unwrap();
            }
        });
        for position in [0, 1] {
            look_through(&mut folders, position);
        }
        test.write("a/1/settling", "1");
        follow_until(&mut folders, |folders| folders.settling.kept(0) == 1);
        test.write("b/1/new", "22");
        with_nothing_opened(|| {
            follow_until(&mut folders, |folders| !folders.watched[1].is_known);
            let later = Instant::now() + Duration::from_secs(30);
            assert!(folders.settling.take_ready(later).is_empty() && folders.settling.kept(0) == 1);
        });
        let looking = test.look(folders);
        test.until_found("1/settling", 1);
        test.until_found("1/new", 2);
        test.end(looking);
    });
}

#[test]
fn what_is_written_to_a_folder_that_was_moved_away_is_not_found_under_its_former_name() {
    let (mut test, folders) = Test::new(|_| {});
    let looking = test.look(folders);
    test.write("a/before", "1");
    // So that it is held open.
    test.write("a/open", "1");
    let _writer = fs::File::options().append(true).open(test.path("a/open")).unwrap();
    test.until_found("before", 1);
    fs::rename(test.path("a"), test.path("moved")).unwrap();
    fs::create_dir(test.path("a")).unwrap();
    test.write("moved/late", "22");
    test.write("a/new", "333");
    test.until_found("new", 3);
    assert!(!test.found.iter().any(|(name, _)| name == "late"), "{:?}", test.found);
    test.end(looking);
}

#[test]
fn what_was_about_to_be_handed_on_is_found_soon_where_a_folder_was_away_for_a_moment() {
    let (mut test, mut folders) = Test::new(|_| {});
    folders.settling = Settling::new(Some(Duration::ZERO));
    for position in [0, 1] {
        look_through(&mut folders, position);
    }
    test.write("a/file", "1");
    follow_until(&mut folders, |folders| !folders.settling.is_empty());
    let later = Instant::now() + LIMIT * 10;
    for watched in &mut folders.watched {
        watched.next_look = later;
    }
    fs::rename(test.path("a"), test.path("away")).unwrap();
    while !folders.settling.is_empty() {
        folders.take_rested();
    }
    assert!(folders.hand_on(0));
    fs::rename(test.path("away"), test.path("a")).unwrap();
    assert!(test.met.try_recv().is_err(), "it was handed on from a folder that had another name");
    assert!(!folders.watched[0].is_known && folders.watched[0].next_look < later, "it is found at the next rare look");
    assert!(folders.watched[1].is_known);
    let looking = test.look(folders);
    test.until_found("file", 1);
    test.end(looking);
}

#[test]
fn patterns_that_take_too_long_are_told() {
    let (mut test, mut folders) = Test::new(|path| {
        write(&path.join("a/.gitignore"), &"*word*\n".repeat(10_000));
        write(&path.join("a").join("a".repeat(200)), "1");
    });
    look_through(&mut folders, 0);
    let told = test.events.try_next();
    let is_it = |reason: &SkipReason| matches!(reason, SkipReason::RulesUnread { detail } if detail.ends_with("its patterns take too long"));
    assert!(matches!(&told, Some(Event::Skipped { reason, .. }) if is_it(reason)), "{told:?}");
    look_through(&mut folders, 0);
    assert!(test.events.try_next().is_none(), "once");
}

#[test]
fn one_look_that_took_long_as_everything_was_sent_does_not_put_off_the_next_and_it_is_told_how_often() {
    let (test, mut folders) = Test::new(|_| {});
    folders.watched[0].lost_at = Some(Instant::now());
    let mut after = |took: u64| {
        let whole = Whole::ended(&folders.watched[0].root, Duration::from_secs(took));
        let begun = Instant::now();
        folders.looked_through(0, &whole);
        let pause = folders.watched[0].next_look.saturating_duration_since(begun);
        let told = test.looks.borrow()[0].1.clone().expect("the system's word is not trusted");
        (pause.as_secs(), told.every.as_secs())
    };
    assert_eq!(after(62), (5, 5), "the first");
    assert_eq!(after(1), (20, 20), "a twentieth of the time");
    assert_eq!(after(62), (20, 20), "one of them");
    assert_eq!(after(60), (1200, 1280), "as long again: that is what it takes");
}
