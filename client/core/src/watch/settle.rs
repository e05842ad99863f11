//! Files that are new or changed, until they have come to rest.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::rest::{AFTER_CLOSE, REST_MAX, Rests};
use super::writers::{Writers, identity, writers_now};
use crate::source::{FileStat, Found};
use crate::tree::{is_absent, link_met};

/// A file that must rest for longer is looked at this often meanwhile, so that a pause is told from slow writing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nobody is waited for longer because of pauses that others make: a file that is written to for ever is sent now and then.
const PATIENCE: Duration = Duration::from_secs(600);
/// Files that were handed on and may still grow, at most.
const RECENT_MAX: usize = 8192;
/// Looking for writers is this part of the time at most.
const SEARCH_SHARE: u32 = 20;
/// Nobody waits for longer until they are looked for.
const SEARCH_PAUSE_MAX: Duration = Duration::from_secs(2);
/// And nobody who has closed the file: mostly nobody else has it open.
const SEARCH_PAUSE_CLOSED_MAX: Duration = Duration::from_millis(250);

/// What the system tells of a file's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing.
    None,
    /// Somebody writes to it.
    Written,
    /// Whoever wrote it has closed it, or it came here as a whole.
    Closed,
}

/// Files that have not come to rest.
pub(super) struct Settling {
    files: HashMap<PathBuf, Restless>,
    rests: Rests,
    /// What was handed on last, oldest first: if it is written to again, its writer had only paused.
    recent: VecDeque<(PathBuf, Instant)>,
    handed_on: HashMap<PathBuf, (FileStat, Instant)>,
    /// When writers were looked for last, and how long they are not looked for again.
    searched: Option<(Instant, Duration)>,
}

struct Restless {
    found: Found,
    unchanged_since: Instant,
    /// When it was last seen to be as it is.
    looked: Instant,
    restless_since: Instant,
    closed: bool,
    /// The system told of a writer, and not that it has closed the file.
    written: bool,
    /// It was found open for writing as it is now: whoever waits for that needs no rest time.
    is_open: bool,
}

impl Settling {
    /// `rest`: how long each file must stay as it is; what is seen of the writers of each folder decides if absent.
    pub(super) fn new(rest: Option<Duration>) -> Self {
        Self {
            files: HashMap::new(),
            rests: Rests::new(rest),
            recent: VecDeque::new(),
            handed_on: HashMap::new(),
            searched: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes in a file that was met.
    pub(super) fn met(&mut self, found: Found, sign: Sign, now: Instant) {
        let sign = if sign == Sign::Closed && self.is_written_elsewhere(&found) { Sign::Written } else { sign };
        let closed = sign == Sign::Closed;
        match self.files.get_mut(&found.path) {
            Some(file) => {
                if file.found.stat != found.stat {
                    file.changed(&mut self.rests, found, now);
                }
                match sign {
                    Sign::None => {}
                    Sign::Written => (file.closed, file.written) = (false, true),
                    Sign::Closed => (file.closed, file.written) = (true, false),
                }
            }
            None => {
                self.was_it_paused(&found, now);
                let written = sign == Sign::Written;
                let file = Restless {
                    unchanged_since: now,
                    looked: now,
                    restless_since: now,
                    closed,
                    written,
                    is_open: false,
                    found,
                };
                self.files.insert(file.found.path.clone(), file);
            }
        }
    }

    /// Whether it came here under another name while somebody wrote to it, who has not closed it.
    fn is_written_elsewhere(&self, found: &Found) -> bool {
        let is_it = |file: &Restless| file.written && identity(&file.found.stat) == identity(&found.stat);
        !self.files.contains_key(&found.path) && self.files.values().any(is_it)
    }

    /// Looks at each file again, and takes out those that have come to rest. Files that are gone are forgotten, not those that
    /// cannot be looked at for a while.
    pub(super) fn take_ready(&mut self, now: Instant) -> Vec<Found> {
        self.take_ready_unless(now, writers_now)
    }

    /// As [`Self::take_ready`]; `search` finds who has some files open for writing.
    fn take_ready_unless(&mut self, now: Instant, search: impl FnOnce(&[&Found]) -> Writers) -> Vec<Found> {
        let mut perhaps = Vec::new();
        let rests = &mut self.rests;
        let searched = self.searched;
        // Until they are looked for, nothing is decided of any file, and it needs not be looked at.
        let may_search = |closed: bool| {
            let most = if closed { SEARCH_PAUSE_CLOSED_MAX } else { SEARCH_PAUSE_MAX };
            searched.is_none_or(|(at, pause)| now.saturating_duration_since(at) >= pause.min(most))
        };
        self.files.retain(|path, file| {
            let rest = file.rest(rests, now);
            let waited = now.saturating_duration_since(file.unchanged_since);
            let is_due = waited >= rest && may_search(file.closed);
            if !is_due && now.saturating_duration_since(file.looked) < LOOK_EVERY {
                return true;
            }
            let seen = match file.found.look() {
                Ok(seen) => seen,
                Err(error) => {
                    file.looked = now;
                    return may_pass(&error) && now.saturating_duration_since(file.restless_since) < PATIENCE;
                }
            };
            let Ok(found) = Found::at(path.clone(), file.found.name.clone(), seen) else {
                return false;
            };
            if found.stat != file.found.stat {
                file.changed(rests, found, now);
                return true;
            }
            file.looked = now;
            if is_due {
                perhaps.push((found, file.closed, file.written, waited));
            }
            true
        });
        if perhaps.is_empty() {
            return Vec::new();
        }
        let asked: Vec<&Found> = perhaps.iter().map(|(found, ..)| found).collect();
        let begun = Instant::now();
        let Writers { written, unknown } = search(&asked);
        // From the time that the caller has: what it took is over when it asks again.
        self.searched = Some((now, begun.elapsed() * SEARCH_SHARE));
        let mut ready = Vec::new();
        for (found, closed, is_written, waited) in perhaps {
            let id = identity(&found.stat);
            if written.contains(&id) {
                if let Some(file) = self.files.get_mut(&found.path) {
                    file.is_open = true;
                }
                continue;
            }
            // Its writer may be somebody whose files nobody may see: the system would tell if it had closed it.
            if !closed && is_written && waited < REST_MAX && unknown.contains(&id) {
                continue;
            }
            // Its writer may have written and closed it before the writers were looked for, which takes a while.
            let still = || found.look().is_ok_and(|now| now.stat == found.stat);
            if !closed && !still() {
                continue;
            }
            self.files.remove(&found.path);
            self.remember(&found, now);
            ready.push(found);
        }
        ready
    }

    /// Keeps in mind how a file was that is handed on.
    fn remember(&mut self, found: &Found, now: Instant) {
        while self.recent.len() >= RECENT_MAX
            || self.recent.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > REST_MAX * 2)
        {
            let Some((path, at)) = self.recent.pop_front() else { break };
            if self.handed_on.get(&path).is_some_and(|(_, latest)| *latest == at) {
                self.handed_on.remove(&path);
            }
        }
        self.handed_on.insert(found.path.clone(), (found.stat, now));
        self.recent.push_back((found.path.clone(), now));
    }

    /// Learns from a file that was handed on and is written to again: its writer had only paused.
    fn was_it_paused(&mut self, found: &Found, now: Instant) {
        let (Some((former, at)), Some(folder)) = (self.handed_on.get(&found.path), found.path.parent()) else { return };
        let pause = match identity(former) == identity(&found.stat) {
            true => pause_between(former, &found.stat),
            // A program that saves by putting a new file in the place of the former; the times of that may be any.
            false => Some(now.saturating_duration_since(*at) + AFTER_CLOSE),
        };
        if let Some(pause) = pause {
            self.rests.paused(folder, pause, now);
        }
    }
}

impl Restless {
    /// It is another now.
    fn changed(&mut self, rests: &mut Rests, found: Found, now: Instant) {
        if let (Some(pause), Some(folder)) = (pause_between(&self.found.stat, &found.stat), found.path.parent())
            && !self.is_open
        {
            // For so long it is known to have been as it was; what lies between two looks may have been slow writing.
            let seen = self.looked.saturating_duration_since(self.unchanged_since) + LOOK_EVERY;
            rests.paused(folder, pause.min(seen), now);
        }
        *self = Self { found, unchanged_since: now, looked: now, closed: false, is_open: false, ..*self };
    }

    fn rest(&self, rests: &Rests, now: Instant) -> Duration {
        if now.saturating_duration_since(self.restless_since) > PATIENCE {
            return rests.least(self.closed);
        }
        rests.of(self.found.path.parent().unwrap_or(Path::new("")), self.closed, now)
    }
}

/// For how long a file was not written to, if it is the same one and was written to since. It need not have grown: one that has all of
/// its length from the beginning is filled in parts.
fn pause_between(former: &FileStat, now: &FileStat) -> Option<Duration> {
    let pause_ns = u64::try_from(now.modified_ns.saturating_sub(former.modified_ns)).ok()?;
    (identity(former) == identity(now)).then(|| Duration::from_nanos(pause_ns))
}

/// Whether a file that cannot be looked at may be as it was: too many files are open, a disk or a network does not answer, …
fn may_pass(error: &io::Error) -> bool {
    // Of a folder that is opened again the system tells.
    !is_absent(error) && link_met(error).is_none() && error.kind() != io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::rest::AFTER_CHANGE;
    use super::*;

    fn found(path: &Path) -> Found {
        Found::at(
            path.to_owned(),
            path.file_name().unwrap().as_encoded_bytes().to_vec(),
            &fs::symlink_metadata(path).unwrap(),
        )
        .unwrap()
    }

    fn settling() -> Settling {
        Settling::new(None)
    }

    /// A folder as the client knows it: without links.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        (folder, path)
    }

    fn nobody(others: bool) -> impl FnOnce(&[&Found]) -> Writers {
        let unknown =
            move |files: &[&Found]| files.iter().filter(|_| others).map(|file| identity(&file.stat)).collect();
        move |files| Writers { unknown: unknown(files), ..Writers::default() }
    }

    #[test]
    fn a_closed_file_is_ready_soon_and_an_open_one_only_without_a_writer() {
        let (_folder, folder) = folder();
        let closed = folder.join("closed");
        fs::write(&closed, "1").unwrap();
        let open = folder.join("open");
        let mut writer = fs::File::create(&open).unwrap();
        writer.write_all(b"1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&closed), Sign::Closed, start);
        settling.met(found(&open), Sign::None, start);
        assert!(settling.take_ready(start + AFTER_CLOSE / 2).is_empty());
        let ready = settling.take_ready(start + AFTER_CLOSE);
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].path, closed);
        if cfg!(target_os = "linux") {
            assert!(settling.take_ready(start + AFTER_CHANGE * 10).is_empty(), "taken from under its writer");
        }
        drop(writer);
        assert_eq!(settling.take_ready(start + AFTER_CHANGE * 20).len(), 1);
        assert!(settling.is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_another_writer_has_closed_waits_for_the_one_who_has_not() {
        let (_folder, folder) = folder();
        let path = folder.join("file");
        let mut writer = fs::File::create(&path).unwrap();
        writer.write_all(b"1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::Closed, start);
        assert!(settling.take_ready(start + Duration::from_secs(50)).is_empty(), "half of it would have been sent");
        drop(writer);
        assert_eq!(settling.take_ready(start + Duration::from_secs(100)).len(), 1);
    }

    #[test]
    fn where_it_takes_long_to_look_for_writers_a_closed_file_hardly_waits_and_none_is_looked_at_for_nothing() {
        let (_folder, folder) = folder();
        let start = Instant::now();
        let mut settling = settling();
        let mut met = |name: &str, sign| {
            let path = folder.join(name);
            fs::write(&path, "1").unwrap();
            settling.met(found(&path), sign, start);
            path
        };
        let (closed, other) = (met("closed", Sign::Closed), met("other", Sign::None));
        let now = start + AFTER_CHANGE;
        settling.searched = Some((now, SEARCH_PAUSE_MAX * 10));
        settling.files.values_mut().for_each(|file| file.looked = now);
        let soon = now + SEARCH_PAUSE_CLOSED_MAX;
        fs::remove_file(&other).unwrap();
        assert!(settling.take_ready_unless(soon - Duration::from_millis(1), |_| unreachable!()).is_empty());
        assert_eq!(settling.len(), 2, "a file was looked at");
        let ready = settling.take_ready_unless(soon, nobody(false));
        assert_eq!(ready.iter().map(|found| &found.path).collect::<Vec<_>>(), [&closed]);
    }

    #[test]
    fn half_a_file_is_not_taken_from_a_writer_whom_only_the_system_sees() {
        let (_folder, folder) = folder();
        let path = folder.join("file");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::Written, start);
        assert!(settling.take_ready_unless(start + Duration::from_secs(59), nobody(true)).is_empty());
        // Who sees all writers needs not wait.
        assert_eq!(settling.take_ready_unless(start + Duration::from_millis(59_500), nobody(false)).len(), 1);
        settling.met(found(&path), Sign::Written, start);
        assert_eq!(
            settling.take_ready_unless(start + REST_MAX, nobody(true)).len(),
            1,
            "nobody is waited for for ever"
        );
        let later = start + REST_MAX * 2;
        settling.met(found(&path), Sign::Written, later);
        settling.met(found(&path), Sign::Closed, later);
        assert_eq!(settling.take_ready_unless(later + AFTER_CLOSE, nobody(true)).len(), 1);
    }

    #[test]
    fn a_file_that_is_renamed_by_its_writer_is_not_closed_by_that() {
        let (_folder, folder) = folder();
        let (former, path) = (folder.join("file.new"), folder.join("file"));
        fs::write(&former, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&former), Sign::Written, start);
        fs::rename(&former, &path).unwrap();
        settling.met(found(&path), Sign::Closed, start);
        assert!(settling.take_ready_unless(start + Duration::from_secs(50), nobody(true)).is_empty());
        settling.met(found(&path), Sign::Closed, start);
        assert_eq!(settling.take_ready_unless(start + Duration::from_secs(51), nobody(true)).len(), 1);
    }

    #[test]
    fn a_file_that_grows_after_it_was_handed_on_makes_its_folder_wait() {
        let (_folder, folder) = folder();
        let (path, other) = (folder.join("file"), folder.join("other"));
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::Closed, start);
        assert_eq!(settling.take_ready_unless(start + AFTER_CLOSE, nobody(false)).len(), 1);
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b"2").unwrap();
        let later = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(4);
        file.set_modified(later).unwrap();
        fs::write(&other, "1").unwrap();
        let now = start + Duration::from_secs(4);
        settling.met(found(&path), Sign::Closed, now);
        settling.met(found(&other), Sign::Closed, now);
        assert!(settling.take_ready_unless(now + Duration::from_secs(4), nobody(false)).is_empty());
        assert_eq!(settling.take_ready_unless(now + Duration::from_secs(6), nobody(false)).len(), 2);
    }

    /// Writes to the file at `path` without making it longer, as if that were so much later than the last time.
    fn fill(path: &Path, later: Duration) {
        let mut file = fs::File::options().write(true).open(path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap() + later;
        file.write_all(b"2").unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn a_file_that_is_filled_or_replaced_in_parts_makes_its_folder_wait_too() {
        let (_folder, folder) = folder();
        let pause = Duration::from_secs(4);
        let fill_it = |path: &Path| fill(path, pause);
        let replace_it = |path: &Path| {
            let new = path.with_file_name("new");
            fs::write(&new, "1").unwrap();
            fs::rename(new, path).unwrap();
        };
        for (name, write_again) in [("filled", &fill_it as &dyn Fn(&Path)), ("replaced", &replace_it)] {
            let path = folder.join(name).join("file");
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(&path, "1000").unwrap();
            let start = Instant::now();
            let mut settling = settling();
            settling.met(found(&path), Sign::Closed, start);
            assert_eq!(settling.take_ready_unless(start + AFTER_CLOSE, nobody(false)).len(), 1);
            write_again(&path);
            settling.met(found(&path), Sign::Closed, start + pause);
            assert!(
                settling.take_ready_unless(start + pause * 2, nobody(false)).is_empty(),
                "{name}: nothing was learned"
            );
            assert_eq!(settling.take_ready_unless(start + pause * 5 / 2, nobody(false)).len(), 1, "{name}");
        }
    }

    #[test]
    fn nobody_waits_longer_because_of_a_writer_who_was_seen() {
        let (_folder, folder) = folder();
        let (path, other) = (folder.join("file"), folder.join("other"));
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::None, start);
        let seen = |files: &[&Found]| Writers {
            written: files.iter().map(|file| identity(&file.stat)).collect(),
            ..Writers::default()
        };
        for second in 2..20 {
            assert!(settling.take_ready_unless(start + Duration::from_secs(second), seen).is_empty());
        }
        fill(&path, Duration::from_secs(20));
        fs::write(&other, "1").unwrap();
        let now = start + Duration::from_secs(20);
        settling.met(found(&path), Sign::Closed, now);
        settling.met(found(&other), Sign::Closed, now);
        assert_eq!(settling.take_ready_unless(now + AFTER_CLOSE, nobody(false)).len(), 2, "a pause was learned");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_is_written_through_a_map_is_not_taken_from_under_its_writer() {
        let (_folder, folder) = folder();
        let path = folder.join("file");
        fs::write(&path, [0; 8192]).unwrap();
        // Python because mapping a file is nothing that safe code can do.
        let program = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close(); print(1, flush=True); sys.stdin.read()";
        let mut writer = std::process::Command::new("python3");
        let writer = writer.args(["-c", program]).arg(&path);
        let (input, output) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let Ok(mut writer) = writer.stdin(input).stdout(output).spawn() else {
            return filemill_text::tell!("skipped: there is no `python3`");
        };
        std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::Closed, start);
        assert!(settling.take_ready(start + Duration::from_secs(50)).is_empty(), "half of it would have been sent");
        drop(writer.stdin.take());
        writer.wait().unwrap();
        assert_eq!(settling.take_ready(start + Duration::from_secs(100)).len(), 1);
    }

    #[test]
    fn a_file_that_is_written_for_ever_is_sent_now_and_then() {
        let (_folder, folder) = folder();
        let path = folder.join("log");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.rests.paused(&folder, Duration::from_secs(40), start);
        let mut now = start;
        let mut taken_after = None;
        while now < start + PATIENCE * 2 && taken_after.is_none() {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            file.write_all(b"2").unwrap();
            settling.met(found(&path), Sign::Closed, now);
            now += Duration::from_secs(20);
            if !settling.take_ready_unless(now, nobody(false)).is_empty() {
                taken_after = Some(now - start);
            }
        }
        assert!(taken_after.is_some_and(|after| after >= PATIENCE), "{taken_after:?}");
    }

    #[test]
    fn a_file_that_is_written_and_closed_while_its_writer_is_looked_for_is_not_ready() {
        let (_folder, folder) = folder();
        let path = folder.join("file");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::None, start);
        let ready = settling.take_ready_unless(start + AFTER_CHANGE, |_| {
            fs::write(&path, "12").unwrap();
            Writers::default()
        });
        assert!(ready.is_empty(), "{ready:?}");
        let later = start + Duration::from_secs(100);
        assert!(settling.take_ready(later).is_empty(), "its change went unnoticed");
        assert_eq!(settling.take_ready(later + REST_MAX * 2).len(), 1);
    }

    #[test]
    fn a_file_that_changes_starts_anew_and_one_that_goes_is_forgotten() {
        let (_folder, folder) = folder();
        let path = folder.join("file");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = settling();
        settling.met(found(&path), Sign::Closed, start);
        fs::write(&path, "12").unwrap();
        assert!(settling.take_ready_unless(start + AFTER_CHANGE, nobody(false)).is_empty());
        assert_eq!(settling.take_ready_unless(start + AFTER_CHANGE * 4, nobody(false)).len(), 1);
        settling.met(found(&path), Sign::Closed, start);
        fs::remove_file(&path).unwrap();
        assert!(settling.take_ready_unless(start + REST_MAX, nobody(false)).is_empty());
        assert!(settling.is_empty());
    }
}
