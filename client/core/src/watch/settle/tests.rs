//! Files that come to rest, and files that do not.

use std::collections::HashSet;
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
    let unknown = move |files: &[&Found]| files.iter().filter(|_| others).map(|file| identity(&file.stat)).collect();
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
    settling.met(0, found(&closed), Sign::Closed, start);
    settling.met(0, found(&open), Sign::None, start);
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
    settling.met(0, found(&path), Sign::Closed, start);
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
        settling.met(0, found(&path), sign, start);
        path
    };
    let (closed, other) = (met("closed", Sign::Closed), met("other", Sign::None));
    let now = start + AFTER_CHANGE;
    settling.searched = Some((now, SEARCH_PAUSE_MAX * 10));
    settling.files.values_mut().for_each(|file| file.looked = now);
    let soon = now + SEARCH_PAUSE_CLOSED_MAX;
    fs::remove_file(&other).unwrap();
    assert!(settling.take_ready_unless(soon - Duration::from_millis(1), |_| unreachable!()).is_empty());
    assert_eq!(settling.files.len(), 2, "a file was looked at");
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
    settling.met(0, found(&path), Sign::Written, start);
    assert!(settling.take_ready_unless(start + Duration::from_secs(59), nobody(true)).is_empty());
    // Who sees all writers needs not wait.
    assert_eq!(settling.take_ready_unless(start + Duration::from_millis(59_500), nobody(false)).len(), 1);
    settling.met(0, found(&path), Sign::Written, start);
    assert_eq!(settling.take_ready_unless(start + REST_MAX, nobody(true)).len(), 1, "nobody is waited for for ever");
    let later = start + REST_MAX * 2;
    settling.met(0, found(&path), Sign::Written, later);
    settling.met(0, found(&path), Sign::Closed, later);
    assert_eq!(settling.take_ready_unless(later + AFTER_CLOSE, nobody(true)).len(), 1);
}

#[test]
fn a_file_that_is_renamed_by_its_writer_is_not_closed_by_that() {
    let (_folder, folder) = folder();
    let (former, path) = (folder.join("file.new"), folder.join("file"));
    fs::write(&former, "1").unwrap();
    let start = Instant::now();
    let mut settling = settling();
    settling.met(0, found(&former), Sign::Written, start);
    fs::rename(&former, &path).unwrap();
    settling.met(0, found(&path), Sign::Closed, start);
    assert!(settling.take_ready_unless(start + Duration::from_secs(50), nobody(true)).is_empty());
    settling.met(0, found(&path), Sign::Closed, start);
    assert_eq!(settling.take_ready_unless(start + Duration::from_secs(51), nobody(true)).len(), 1);
}

#[test]
fn a_file_that_grows_after_it_was_handed_on_makes_its_folder_wait() {
    let (_folder, folder) = folder();
    let (path, other) = (folder.join("file"), folder.join("other"));
    fs::write(&path, "1").unwrap();
    let start = Instant::now();
    let mut settling = settling();
    settling.met(0, found(&path), Sign::Closed, start);
    assert_eq!(settling.take_ready_unless(start + AFTER_CLOSE, nobody(false)).len(), 1);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"2").unwrap();
    let later = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(4);
    file.set_modified(later).unwrap();
    fs::write(&other, "1").unwrap();
    let now = start + Duration::from_secs(4);
    settling.met(0, found(&path), Sign::Closed, now);
    settling.met(0, found(&other), Sign::Closed, now);
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
        settling.met(0, found(&path), Sign::Closed, start);
        assert_eq!(settling.take_ready_unless(start + AFTER_CLOSE, nobody(false)).len(), 1);
        write_again(&path);
        settling.met(0, found(&path), Sign::Closed, start + pause);
        assert!(settling.take_ready_unless(start + pause * 2, nobody(false)).is_empty(), "{name}: nothing was learned");
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
    settling.met(0, found(&path), Sign::None, start);
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
    settling.met(0, found(&path), Sign::Closed, now);
    settling.met(0, found(&other), Sign::Closed, now);
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
    settling.met(0, found(&path), Sign::Closed, start);
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
        settling.met(0, found(&path), Sign::Closed, now);
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
    settling.met(0, found(&path), Sign::None, start);
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
    settling.met(0, found(&path), Sign::Closed, start);
    fs::write(&path, "12").unwrap();
    assert!(settling.take_ready_unless(start + AFTER_CHANGE, nobody(false)).is_empty());
    assert_eq!(settling.take_ready_unless(start + AFTER_CHANGE * 4, nobody(false)).len(), 1);
    settling.met(0, found(&path), Sign::Closed, start);
    fs::remove_file(&path).unwrap();
    assert!(settling.take_ready_unless(start + REST_MAX, nobody(false)).is_empty());
    assert!(settling.is_empty());
}

#[test]
fn files_that_do_not_come_to_rest_give_way_and_are_taken_once_they_do() {
    let (_folder, folder) = folder();
    let files: Vec<Found> = (0..SETTLING_MAX)
        .map(|number| {
            let path = folder.join(number.to_string());
            fs::write(&path, "1").unwrap();
            found(&path)
        })
        .collect();
    let (other, quiet) = (folder.join("other"), folder.join("quiet"));
    fs::write(&other, "1").unwrap();
    fs::write(&quiet, "1").unwrap();
    let start = Instant::now();
    let mut settling = settling();
    for file in &files {
        assert!(settling.met(0, file.clone(), Sign::Written, start));
    }
    assert!(!settling.met(0, found(&other), Sign::None, start), "more are kept in mind than there is room for");
    assert!(settling.met(1, found(&other), Sign::None, start), "another folder has no room");
    let written = |files: &[&Found]| Writers {
        written: files.iter().map(|file| identity(&file.stat)).collect(),
        ..Writers::default()
    };
    let later = start + GIVES_WAY_AFTER;
    assert!(settling.take_ready_unless(later, written).is_empty());
    assert!(settling.met(0, found(&quiet), Sign::None, later), "none gave way");
    assert_eq!((settling.has_aside(0), settling.has_aside(1)), (true, false));
    // They are not looked at for a while, and then for a while only.
    let kept = settling.kept(0);
    for file in &files {
        assert!(settling.met(0, file.clone(), Sign::None, later + Duration::from_secs(1)));
    }
    assert_eq!(settling.kept(0), kept);
    let ready = settling.take_ready_unless(later + REST_MAX, |files| {
        let still = |file: &&&Found| file.path != quiet;
        Writers { written: files.iter().filter(still).map(|file| identity(&file.stat)).collect(), ..Writers::default() }
    });
    assert_eq!(ready.len(), 1, "{ready:?}");
    // Nobody writes to them any more: all are taken, some rounds later.
    let (mut taken, mut now) = (HashSet::new(), later + REST_MAX);
    for _ in 0..4 {
        now += REST_MAX * 2;
        for file in files.iter().filter(|file| !taken.contains(&file.path)) {
            assert!(settling.met(0, file.clone(), Sign::None, now));
        }
        let ready = settling.take_ready_unless(now + REST_MAX, nobody(false));
        taken.extend(ready.into_iter().map(|found| found.path));
    }
    assert_eq!(taken.len(), SETTLING_MAX + 1);
}
