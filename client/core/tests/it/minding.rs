//! A watcher that does what a person means: rules, pauses of writers, full disks.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use filemill_client::{Error, Event, Finished, LeftOut, LookThrough, Reason, Recovery, Trouble, WatchOptions};

use crate::world::{LIMIT, World, eventually};

/// A watcher, and what it told so far.
pub(crate) struct Watching {
    told: Mutex<Vec<Event>>,
}

impl Watching {
    pub(crate) fn finished(&self) -> Vec<Finished> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter_map(|event| if let Event::Finished(file) = event { Some((**file).clone()) } else { None })
            .collect()
    }

    /// Names below the folder, in the order in which they were finished.
    pub(crate) fn names(&self, world: &World) -> Vec<String> {
        let name = |file: &Finished| file.path.strip_prefix(world.files()).unwrap().to_string_lossy().into_owned();
        self.finished().iter().map(name).collect()
    }

    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&[Event]) -> bool) {
        eventually(what, || holds(&self.told.lock().unwrap())).await;
    }

    pub(crate) async fn until_finished(&self, world: &World, name: &str) {
        eventually(&format!("`{name}` to finish"), || self.names(world).iter().any(|other| other == name)).await;
    }
}

/// Runs a watcher while `act` goes on.
pub(crate) async fn watching<F: Future<Output = ()>>(
    world: &World,
    options: WatchOptions,
    act: impl FnOnce(std::sync::Arc<Watching>) -> F,
) {
    let client = world.client().await;
    let (activity, mut told) = client.watch(options);
    let watching = std::sync::Arc::new(Watching { told: Mutex::default() });
    let read = async {
        while let Some(event) = told.next().await {
            watching.told.lock().unwrap().push(event);
        }
    };
    let work = async {
        let result = activity.ended().await;
        client.close().await;
        result
    };
    let act = async {
        act(std::sync::Arc::clone(&watching)).await;
        activity.stop();
    };
    let all = async { tokio::join!(work, read, act) };
    let (result, (), ()) = tokio::time::timeout(LIMIT * 3, all).await.expect("watching took too long");
    result.unwrap();
}

pub(crate) fn in_folder(world: &World) -> WatchOptions {
    WatchOptions { folders: vec![world.files()], ..WatchOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_left_out_by_the_same_rule_whether_it_was_there_or_appears() {
    let world = World::new().await;
    world.write(".gitignore", "/build/\n!/build/keep/\n!/build/keep/**\n");
    world.write("build/keep/there", "1");
    world.write("sub/.gitignore", "*.log\n");
    world.write("sub/there.log", "1");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, ".gitignore").await;
            for name in ["build/keep/new", "sub/new.log", "build/keep/deep/new"] {
                world.write(name, "22");
            }
            world.write("after", "333");
            watching.until_finished(world, "after").await;
            let mut names = watching.names(world);
            names.sort();
            assert_eq!(names, [".gitignore", "after", "sub/.gitignore"]);
            let other = world.client().await;
            let mut reasons = Vec::new();
            other.status(|file| reasons.push((file.path, file.reason))).await.unwrap();
            other.close().await;
            let rules = fs::canonicalize(world.files()).unwrap().join(".gitignore");
            let rule = LeftOut::Pattern { pattern: b"/build/".to_vec(), file: Some(rules.clone()) };
            assert_eq!(rule.to_string(), format!("pattern `/build/` of `{}`", rules.display()));
            let said = Reason::Ignored { rule };
            assert!(reasons.iter().any(|(path, reason)| path.ends_with("build") && *reason == said), "{reasons:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_were_written_a_moment_before_a_file_hold_for_it() {
    let world = World::new().await;
    world.write("before", "1");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "before").await;
            for round in 0..3 {
                world.write(".gitignore", format!("*.secret\n# {round}\n"));
                world.write(&format!("{round}.secret"), "secret");
                // Moved in with its rules.
                fs::create_dir_all(world.path("elsewhere")).unwrap();
                fs::write(world.path("elsewhere/.filemillignore"), "*.{key,pem}\n").unwrap();
                fs::write(world.path("elsewhere/a.key"), "secret").unwrap();
                fs::rename(world.path("elsewhere"), world.files().join(format!("moved-{round}"))).unwrap();
                let after = format!("after-{round}");
                world.write(&after, format!("{round}"));
                watching.until_finished(world, &after).await;
                fs::remove_file(world.files().join(".gitignore")).unwrap();
                fs::remove_file(world.files().join(format!("{round}.secret"))).unwrap();
            }
            let names = watching.names(world);
            assert!(!names.iter().any(|name| name.ends_with(".secret") || name.ends_with(".key")), "{names:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_left_out_is_sent_when_the_rule_is_gone() {
    let world = World::new().await;
    world.write("sub/.gitignore", "*.log\n");
    world.write("sub/a.log", "1");
    world.write("sub/b", "1");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "sub/b").await;
            fs::remove_file(world.files().join("sub/.gitignore")).unwrap();
            watching.until_finished(world, "sub/a.log").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_leave_in_folders_is_sent_only_if_somebody_asks_for_it() {
    let world = World::new().await;
    let left = ["a.iso.part", "b.zip.crdownload", "~$c.docx", ".~lock.d.odt#", ".DS_Store"];
    for name in left {
        world.write(name, "left");
    }
    world.write("kept", "kept");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "kept").await;
            world.write("new.part", "left");
            world.write("after", "after");
            watching.until_finished(world, "after").await;
            assert_eq!(watching.names(world).len(), 2, "{:?}", watching.names(world));
            let other = world.client().await;
            let mut reasons = Vec::new();
            other.status(|file| reasons.push((file.path, file.reason))).await.unwrap();
            other.close().await;
            let why = |name: &str| reasons.iter().find(|(path, _)| path.ends_with(name)).map(|(_, why)| why.clone());
            let ignored = |rule: LeftOut| Some(Reason::Ignored { rule });
            assert_eq!((why("a.iso.part"), why(".DS_Store")), (ignored(LeftOut::Temporary), ignored(LeftOut::System)));
        }
    })
    .await;
    // The rest waits until it is asked for, here by a rule.
    world.write(".filemillignore", "!*.part\n");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "a.iso.part").await;
        }
    })
    .await;
    watching(&world, WatchOptions { temporary: true, ..in_folder(&world) }, |watching| {
        let world = &world;
        async move {
            for name in left {
                watching.until_finished(world, name).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_again_and_again_has_one_newest_result() {
    let world = World::new().await;
    let export = world.path("out");
    let path = world.files().join("log.txt");
    watching(&world, WatchOptions { export: Some(export.clone()), ..in_folder(&world) }, |watching| {
        let (world, path) = (&world, &path);
        async move {
            let append = || {
                let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
                file.write_all(b"one line\n").unwrap();
            };
            append();
            watching.until_finished(world, "log.txt").await;
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                append();
            }
            let is_all = |event: &Event| matches!(event, Event::Finished(file) if file.size == 36);
            watching.until("all of it", |told| told.iter().any(is_all)).await;
            let sizes: Vec<(u64, bool)> = watching.finished().iter().map(|file| (file.size, file.supersedes)).collect();
            assert!(sizes.len() < 4, "each part was taken for the whole: {sizes:?}");
            assert_eq!((sizes[0], sizes[sizes.len() - 1]), ((9, false), (36, true)));
        }
    })
    .await;
    let client = world.client().await;
    let page = client.results(0).await.unwrap();
    client.close().await;
    assert_eq!(
        page.files.iter().map(|file| file.size).collect::<Vec<_>>(),
        [36],
        "more than the newest result is shown"
    );
    let kept: Vec<_> = fs::read_dir(&export).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept, ["log.txt.age"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_filled_in_parts_without_growing_has_one_newest_result() {
    let world = World::new().await;
    let path = world.write("image", [0; 5000]);
    watching(&world, in_folder(&world), |watching| {
        let (world, path) = (&world, &path);
        async move {
            watching.until_finished(world, "image").await;
            for part in 0..4 {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                let mut file = fs::File::options().write(true).open(path).unwrap();
                file.seek(SeekFrom::Start(part * 1000)).unwrap();
                file.write_all(&[b'x'; 1000]).unwrap();
            }
            world.write("after", "after");
            watching.until_finished(world, "after").await;
            let ends = watching.finished().iter().filter(|file| file.path.ends_with("image")).count();
            assert!(ends < 5, "each part was taken for the whole");
        }
    })
    .await;
    let client = world.client().await;
    let page = client.results(0).await.unwrap();
    client.close().await;
    let mut names: Vec<_> = page.files.iter().map(|file| file.path.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["after", "image"], "more than the newest result is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_time_that_was_asked_for_is_kept() {
    let world = World::new().await;
    let options = WatchOptions { settle: Some(Duration::from_secs(3)), ..in_folder(&world) };
    watching(&world, options, |watching| {
        let world = &world;
        async move {
            let path = world.write("file", "1");
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                fs::File::options().append(true).open(&path).unwrap().write_all(b"1").unwrap();
            }
            watching.until_finished(world, "file").await;
            assert_eq!(watching.finished().iter().map(|file| file.size).collect::<Vec<_>>(), [3]);
        }
    })
    .await;
}

/// A file system of its own, as long as it is not dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path, kib: u32) -> Option<Self> {
        Self::of_kind("tmpfs", &format!("size={kib}k,mode=700"), at)
    }

    /// `None`, which is said, where it takes rights that this user has not; unless these tests are asked for.
    fn of_kind(kind: &str, options: &str, at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(["-t", kind, "-o", options, "filemill-test"]).arg(at).output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        let are_asked_for = std::env::var("FILEMILL_TEST_MOUNTS").is_ok_and(|asked| asked == "1");
        assert!(!are_asked_for, "nothing can be mounted here, and FILEMILL_TEST_MOUNTS is 1: {output:?}");
        eprintln!("skipped: it takes the right to mount file systems");
        None
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn remount(&self, how: &str) {
        assert!(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

pub(crate) fn troubles(told: &[Event]) -> Vec<&Trouble> {
    told.iter().filter_map(|event| if let Event::Trouble(trouble) = event { Some(trouble) } else { None }).collect()
}

fn recoveries(told: &[Event]) -> usize {
    told.iter().filter(|event| matches!(event, Event::Recovered(Recovery::ResultsKept { .. }))).count()
}

/// Whether the journal is said to have no room.
pub(crate) fn is_journal_full(told: &[Event]) -> bool {
    troubles(told).iter().any(|trouble| matches!(trouble, Trouble::JournalFull { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_for_results_is_said_and_what_could_not_be_kept_follows() {
    let world = World::new().await;
    let export = world.path("out");
    let Some(disk) = SmallDisk::mount(&export, 256) else { return };
    world.write("before", "1");
    watching(&world, WatchOptions { export: Some(export.clone()), ..in_folder(&world) }, |watching| {
        let (world, export, disk) = (&world, &export, &disk);
        async move {
            watching.until_finished(world, "before").await;
            assert!(export.join("before.age").exists());
            disk.fill();
            for number in 0..8 {
                world.write(&format!("full-{number}"), format!("{number}"));
            }
            for number in 0..8 {
                watching.until_finished(world, &format!("full-{number}")).await;
            }
            {
                let told = watching.told.lock().unwrap();
                let said = troubles(&told);
                let is_full = |error: &Error| error.to_string().contains("no room left on the disk");
                assert!(matches!(&said[..], [Trouble::ResultsNotKept { error, .. }] if is_full(error)), "{said:?}");
            }
            disk.free();
            watching.until("what was put off", |told| recoveries(told) == 1).await;
            assert!((0..8).all(|number| export.join(format!("full-{number}.age")).exists()));
            // A disk that may not be written to, and a folder that is gone.
            disk.remount("ro");
            world.write("read-only", "ro");
            watching.until_finished(world, "read-only").await;
            disk.remount("rw");
            watching.until("what was put off", |told| recoveries(told) == 2).await;
            assert!(export.join("read-only.age").exists());
            assert_eq!(watching.finished().len(), 10, "something was said twice");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_off_follows_though_the_journal_had_no_room_meanwhile_and_a_stop_says_what_is_left() {
    let world = World::new().await;
    let (export, home) = (world.path("out"), world.path("home"));
    let aside = world.path("aside");
    fs::rename(&home, &aside).unwrap();
    let (Some(results), Some(disk)) = (SmallDisk::mount(&export, 4096), SmallDisk::mount(&home, 4096)) else { return };
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status().unwrap().success());
    world.write("before", "1");
    let left = std::sync::Mutex::new(Vec::new());
    let put_off = |told: &[Event]| {
        troubles(told).iter().filter(|trouble| matches!(trouble, Trouble::ResultsNotKept { .. })).count()
    };
    watching(&world, WatchOptions { export: Some(export.clone()), ..in_folder(&world) }, |watching| {
        let (world, export, disk, results, left) = (&world, &export, &disk, &results, &left);
        async move {
            watching.until_finished(world, "before").await;
            results.remount("ro");
            world.write("put-off", "22");
            watching.until("the result to be put off", |told| put_off(told) == 1).await;
            disk.fill();
            for number in 0..200 {
                world.write(&format!("full-{number}"), format!("{number} {}", "x".repeat(number)));
            }
            watching.until("the full disk", is_journal_full).await;
            disk.free();
            watching.until_finished(world, "full-199").await;
            results.remount("rw");
            watching.until("what was put off", |told| recoveries(told) == 1).await;
            assert!(export.join("put-off.age").exists());
            results.remount("ro");
            world.write("left", "left");
            watching.until("the result to be put off", |told| put_off(told) == 2).await;
            left.lock().unwrap().push(watching);
        }
    })
    .await;
    let watching = left.lock().unwrap().pop().unwrap();
    let told = watching.told.lock().unwrap();
    assert!(matches!(troubles(&told).last(), Some(Trouble::ResultsLeft { count: 1, .. })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_goes_on_when_results_cannot_be_kept_and_says_so_at_its_end() {
    let world = World::new().await;
    let export = world.path("out");
    let Some(disk) = SmallDisk::mount(&export, 64) else { return };
    disk.fill();
    for number in 0..3 {
        world.write(&format!("{number}"), format!("{number}"));
    }
    let options = || filemill_client::SendOptions {
        paths: vec![world.files()],
        export: Some(export.clone()),
        ..filemill_client::SendOptions::default()
    };
    let ran = world.send_with(options()).await;
    assert!(matches!(ran.result, Err(filemill_client::Error::NotKept { .. })), "{:?}", ran.result);
    assert_eq!(ran.finished.len(), 3);
    disk.free();
    let ran = world.send_with(options()).await;
    ran.result.unwrap();
    assert!((0..3).all(|number| export.join(format!("{number}.age")).exists()));
    assert_eq!(world.fake.lock().uploads.len(), 1, "it was analysed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_for_the_journal_is_said_and_the_watcher_goes_on_when_there_is_room() {
    let world = World::new().await;
    let home = world.path("home");
    let aside = world.path("aside");
    fs::rename(&home, &aside).unwrap();
    let Some(disk) = SmallDisk::mount(&home, 4096) else { return };
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status().unwrap().success());
    world.write("before", "1");
    watching(&world, in_folder(&world), |watching| {
        let (world, disk) = (&world, &disk);
        async move {
            watching.until_finished(world, "before").await;
            disk.fill();
            for number in 0..200 {
                world.write(&format!("full-{number}"), format!("{number} {}", "x".repeat(number)));
            }
            watching.until("the full disk", is_journal_full).await;
            disk.free();
            for number in 0..200 {
                watching.until_finished(world, &format!("full-{number}")).await;
            }
            let mut names = watching.names(world);
            names.sort();
            names.dedup();
            assert_eq!((names.len(), watching.finished().len()), (201, 201), "something was said twice");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn folders_are_looked_through_rarely_where_the_system_tells_of_all_changes_and_often_elsewhere() {
    let world = World::new().await;
    let local = SmallDisk::mount(&world.files(), 1024);
    let overlay = world.path("overlay");
    for part in ["overlay", "lower", "upper", "work"] {
        fs::create_dir_all(world.path(part)).unwrap();
    }
    let layers = ["lower", "upper", "work"].map(|part| format!("{part}dir={}", world.path(part).display())).join(",");
    let overlaid = SmallDisk::of_kind("overlay", &layers, &overlay);
    let (Some(_local), Some(_overlaid)) = (local, overlaid) else { return };
    let options = WatchOptions { folders: vec![world.files(), overlay.clone()], ..WatchOptions::default() };
    watching(&world, options, |watching| {
        let (world, overlay) = (&world, &overlay);
        async move {
            let looks = async || {
                let other = world.client().await;
                let folders = other.watched_folders().await.unwrap();
                other.close().await;
                folders
            };
            let begun = std::time::Instant::now();
            let folders = loop {
                let folders = looks().await;
                if folders.len() == 2 && folders.iter().all(|folder| folder.look != LookThrough::Unknown) {
                    break folders;
                }
                assert!(begun.elapsed() < LIMIT, "{folders:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let look = |path: &Path| {
                let path = fs::canonicalize(path).unwrap();
                folders.iter().find(|folder| folder.path == path).unwrap().look.clone()
            };
            assert_eq!(look(&world.files()), LookThrough::Rarely);
            let why = "it is on a file system of kind `overlay`".to_owned();
            assert_eq!(look(overlay), LookThrough::Often { why, every_s: 5 });
            // Nobody tells of what changes in the lower parts of an overlay.
            fs::write(world.path("upper/unseen"), "unseen").unwrap();
            let unseen = |event: &Event| matches!(event, Event::Finished(file) if file.path.ends_with("unseen"));
            watching.until("what nobody told of", |told| told.iter().any(unseen)).await;
            world.write("deep/new/file", "new");
            let new = |event: &Event| matches!(event, Event::Finished(file) if file.path.ends_with("deep/new/file"));
            watching.until("a new file in a new folder", |told| told.iter().any(new)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_a_folder_out_of_the_one_above_says_nothing_of_it_if_it_is_watched_itself() {
    let world = World::new().await;
    world.write(".gitignore", "b/\n");
    world.write("b/there", "1");
    world.write("b/a.log", "1");
    world.write("b/.gitignore", "*.log\n");
    let options = WatchOptions { folders: vec![world.files(), world.files().join("b")], ..WatchOptions::default() };
    watching(&world, options, |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "b/there").await;
            world.write("b/new", "22");
            watching.until_finished(world, "b/new").await;
            let mut names = watching.names(world);
            names.sort();
            assert_eq!(names, [".gitignore", "b/.gitignore", "b/new", "b/there"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_only_watched_can_be_unmounted() {
    let world = World::new().await;
    let Some(disk) = SmallDisk::mount(&world.files(), 1024) else { return };
    world.write("before", "1");
    watching(&world, in_folder(&world), |watching| {
        let (world, disk) = (&world, &disk);
        async move {
            watching.until_finished(world, "before").await;
            let unmount = || Command::new("umount").arg(&disk.0).output().unwrap().status.success();
            eventually("the disk to be let go", unmount).await;
            // Another one in its place.
            let _disk = SmallDisk::mount(&world.files(), 1024).unwrap();
            world.write("after", "22");
            watching.until_finished(world, "after").await;
        }
    })
    .await;
}
