//! The cache of compiled code: what it saves, and what it refuses.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use filemill_runtime::{
    CacheConfig, CodeOrigin, InstallError, Limits, Outcome, Release, ReleaseDigest, Runtime, RuntimeConfig,
    RuntimeError,
};
use tempfile::TempDir;

use crate::harness::{job, limits};
use filemill_guests::guest;

fn config(home: &TempDir) -> CacheConfig {
    CacheConfig { folder: home.path().join("cache"), key_file: home.path().join("cache.key"), max_bytes: 64 << 20 }
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn start(cache: CacheConfig) -> Result<Runtime, RuntimeError> {
    Runtime::new(RuntimeConfig { slots: 1, cache: Some(cache), ..RuntimeConfig::default() })
}

fn install(cache: CacheConfig, component: &[u8]) -> Release {
    let runtime = start(cache).expect("the cache is good");
    let release = runtime.install(component).expect("the component is good");
    let run = release.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
    assert_eq!(run.outcome(), Outcome::Succeeded);
    release
}

fn entries(cache: &CacheConfig) -> Vec<PathBuf> {
    let entries = fs::read_dir(&cache.folder).expect("the folder is there");
    entries.map(|entry| entry.expect("readable").path()).collect()
}

#[track_caller]
fn refused(cache: CacheConfig, reason: &str) {
    match start(cache) {
        Err(RuntimeError::Cache(error)) => assert!(error.to_string().contains(reason), "{error}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_was_compiled_once_is_not_compiled_again() {
    let home = home();
    assert_eq!(install(config(&home), &guest!(counts)).origin(), CodeOrigin::Compiled);
    assert_eq!(install(config(&home), &guest!(counts)).origin(), CodeOrigin::Cached);
    assert_eq!(install(config(&home), &guest!(never_reads)).origin(), CodeOrigin::Compiled);
    assert_eq!(entries(&config(&home)).len(), 2);
}

#[test]
fn what_was_compiled_is_had_by_its_digest_alone() {
    let home = home();
    for component in [guest!(counts), guest!(counts_a_stream)] {
        let digest = ReleaseDigest::of(&component);
        let runtime = start(config(&home)).expect("the cache is good");
        assert!(runtime.cached(digest).is_none());
        let compiled = runtime.install(&component).expect("the component is good");

        let runtime = start(config(&home)).expect("the cache is good");
        let cached = runtime.cached(digest).expect("it is in the cache");
        assert_eq!((cached.origin(), cached.contract()), (CodeOrigin::Cached, compiled.contract()));
        assert_eq!(cached.digest(), digest);
        let run = cached.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
        assert_eq!(run.outcome(), Outcome::Succeeded);
    }
}

#[test]
fn what_does_not_run_here_is_not_kept() {
    let home = home();
    let with_memory = |memory_bytes| {
        let maxima = Limits { memory_bytes, ..Limits::default() };
        let config = RuntimeConfig { slots: 1, maxima, cache: Some(config(&home)), ..RuntimeConfig::default() };
        Runtime::new(config).expect("the cache is good")
    };
    let component = guest!(counts);
    with_memory(4 << 20).install(&component).expect("it fits");
    assert_eq!(entries(&config(&home)).len(), 1);
    let small = with_memory(1 << 20);
    for _ in 0..2 {
        let error = small.install(&component).expect_err("it begins with 2 MiB");
        assert!(matches!(error, InstallError::TooDemanding { .. }), "{error}");
    }
    // What a processor with less memory cannot run is still there for the one that can.
    assert_eq!(with_memory(4 << 20).install(&component).expect("it fits").origin(), CodeOrigin::Cached);

    fs::remove_file(&entries(&config(&home))[0]).expect("removed");
    small.install(&component).expect_err("it begins with 2 MiB");
    assert_eq!(entries(&config(&home)).len(), 0);
}

#[test]
fn an_entry_that_is_huge_is_not_even_copied() {
    let home = home();
    install(config(&home), &guest!(counts));
    let entry = entries(&config(&home)).remove(0);
    let before = peak_kib();
    for bytes in [300 << 20, 200 << 20] {
        // Holes: it takes no room on the disk.
        fs::File::options().write(true).open(&entry).expect("opened").set_len(bytes).expect("set");
        let large = CacheConfig { max_bytes: 1 << 30, ..config(&home) };
        assert_eq!(install(large.clone(), &guest!(counts)).origin(), CodeOrigin::Compiled, "{bytes}");
        assert_eq!(install(large, &guest!(counts)).origin(), CodeOrigin::Cached);
    }
    assert!(peak_kib() < before + (100 << 10), "{} to {} KiB", before, peak_kib());
}

/// The most memory that this process had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it does");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn folder_and_key_are_made_for_this_user_alone() {
    let home = home();
    install(config(&home), &guest!(counts));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&config(&home).folder), 0o700);
    assert_eq!(mode(&config(&home).key_file), 0o600);
    assert_eq!(mode(&entries(&config(&home))[0]), 0o600);
}

#[test]
fn an_entry_with_any_byte_changed_is_never_run() {
    let home = home();
    let component = guest!(counts);
    install(config(&home), &component);
    let [entry] = &entries(&config(&home))[..] else {
        panic!("there is one entry");
    };
    let whole = fs::read(entry).expect("readable");
    for at in [0, 8, 40, 72, 80, whole.len() / 2, whole.len() - 28, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(entry, &changed).expect("writable");
        assert_eq!(install(config(&home), &component).origin(), CodeOrigin::Compiled, "byte {at}");
        assert_eq!(install(config(&home), &component).origin(), CodeOrigin::Cached);
    }
    for length in [0, 20, 100, whole.len() - 1] {
        fs::write(entry, &whole[..length]).expect("writable");
        assert_eq!(install(config(&home), &component).origin(), CodeOrigin::Compiled, "{length} bytes");
    }
}

#[test]
fn an_entry_under_another_releases_name_is_never_run() {
    let home = home();
    install(config(&home), &guest!(counts));
    let counts = entries(&config(&home)).remove(0);
    install(config(&home), &guest!(never_reads));
    let never_reads = entries(&config(&home)).into_iter().find(|entry| *entry != counts).expect("there are two");
    fs::copy(&never_reads, &counts).expect("copied");
    assert_eq!(install(config(&home), &guest!(counts)).origin(), CodeOrigin::Compiled);
}

#[test]
fn entries_made_under_another_key_are_never_run() {
    let home = home();
    install(config(&home), &guest!(counts));
    fs::remove_file(config(&home).key_file).expect("removed");
    assert_eq!(install(config(&home), &guest!(counts)).origin(), CodeOrigin::Compiled);
}

#[test]
fn an_entry_that_is_a_link_is_not_followed() {
    let home = home();
    install(config(&home), &guest!(counts));
    let entry = entries(&config(&home)).remove(0);
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).expect("moved");
    symlink(&elsewhere, &entry).expect("linked");
    assert_eq!(install(config(&home), &guest!(counts)).origin(), CodeOrigin::Compiled);
}

#[test]
fn a_folder_that_others_can_enter_is_refused() {
    let home = home();
    install(config(&home), &guest!(counts));
    for mode in [0o777, 0o750, 0o701] {
        fs::set_permissions(config(&home).folder, Permissions::from_mode(mode)).expect("set");
        refused(config(&home), "others may enter the folder");
    }
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let home = home();
    let real = home.path().join("real");
    fs::create_dir(&real).expect("made");
    fs::set_permissions(&real, Permissions::from_mode(0o700)).expect("set");
    symlink(&real, config(&home).folder).expect("linked");
    refused(config(&home), "it is a symbolic link or not a folder");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let home = home();
    install(config(&home), &guest!(counts));
    fs::set_permissions(config(&home).key_file, Permissions::from_mode(0o640)).expect("set");
    refused(config(&home), "others may read or write the key");
}

#[test]
fn a_key_that_is_a_link_or_of_another_length_is_refused() {
    let home = home();
    let real = home.path().join("real.key");
    fs::write(&real, [7; 32]).expect("written");
    fs::set_permissions(&real, Permissions::from_mode(0o600)).expect("set");
    symlink(&real, config(&home).key_file).expect("linked");
    refused(config(&home), "the key is a symbolic link");

    fs::remove_file(config(&home).key_file).expect("removed");
    fs::write(&real, [7; 31]).expect("written");
    fs::rename(&real, config(&home).key_file).expect("moved");
    refused(config(&home), "the key does not have 32 bytes");
}

#[test]
fn a_key_inside_the_folder_is_refused() {
    let home = home();
    let cache = CacheConfig { key_file: config(&home).folder.join("cache.key"), ..config(&home) };
    refused(cache, "the key lies inside the cache's folder");
}

#[test]
fn a_full_cache_forgets_what_was_used_longest_ago() {
    let home = home();
    install(config(&home), &guest!(counts));
    let first = entries(&config(&home)).remove(0);
    let size = fs::metadata(&first).expect("it is there").len();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(&first).expect("opened");
    file.set_modified(long_ago).expect("set");
    let small = CacheConfig { max_bytes: size + size / 2, ..config(&home) };
    install(small.clone(), &guest!(never_reads));
    assert_eq!(entries(&small).len(), 1);
    assert!(!first.exists());
}

#[test]
fn what_a_dead_process_left_is_removed() {
    let home = home();
    install(config(&home), &guest!(counts));
    let leftover = config(&home).folder.join(".tmp-0123456789abcdef");
    fs::write(&leftover, b"half").expect("written");
    start(config(&home)).expect("the cache is good");
    assert!(leftover.exists(), "it may belong to a process that is writing now");
    let file = fs::File::options().write(true).open(&leftover).expect("opened");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
    start(config(&home)).expect("the cache is good");
    assert!(!leftover.exists());
}
