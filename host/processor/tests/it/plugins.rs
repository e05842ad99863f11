//! Engines in a folder, against a fake server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use filemill_guests::Guest;
use filemill_processor::NodeConfig;
use filemill_runtime::{CacheConfig, Compiler, CompilerProcess, Limits, Runtime, RuntimeConfig};
use filemill_seal::{Digest, Outcome};

use super::counts;
use super::fake::Fake;
use super::mill::{Mill, noise};

/// What the engine logs, and what another engine of the same length logs.
const SAYS: &str = "counting";
pub(super) const SLOW: &str = "compiles";

/// A folder that nobody else can write to.
struct Folder(PathBuf);

impl Folder {
    fn of(mill: &Mill) -> Self {
        let path = mill.dir().join("engines");
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
        Self(path)
    }

    fn config(&self) -> impl FnOnce(&mut NodeConfig) {
        let path = self.0.clone();
        |config| config.engines_dir = Some(path)
    }

    fn drop_in(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(format!("{name}.wasm"));
        fs::write(&path, bytes).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(format!("{name}.wasm"))).expect("removed");
    }
}

/// Another engine: it logs `says`.
pub(super) fn saying(says: &str) -> Vec<u8> {
    filemill_guests::component(&Guest::Counts.text().replace(SAYS, says))
}

/// A compiler that never ends for components that hold [`SLOW`], and says its process's number in `dir` then.
pub(super) fn compiler(dir: &Path) -> Compiler {
    let script = format!(
        "cat > {dir}/in.$$; if grep -q {SLOW} {dir}/in.$$; then echo $$ > {dir}/new; mv {dir}/new {dir}/slow; exec sleep 600; \
         fi; exec {} compile-component \"$@\" < {dir}/in.$$",
        env!("CARGO_BIN_EXE_filemill-processor"),
        dir = dir.display(),
    );
    let path = dir.join("compiler");
    fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).expect("written");
    Compiler::Child(CompilerProcess::new("/bin/sh", [path]))
}

/// How many compilers were started.
fn at_work(mill: &Mill) -> usize {
    let files = fs::read_dir(mill.dir()).expect("the folder").filter_map(Result::ok);
    files.filter(|file| file.file_name().to_string_lossy().starts_with("in.")).count()
}

/// Whether the compiler of that number is still at work.
pub(super) fn compiles(process: &str) -> bool {
    fs::read(format!("/proc/{}/cmdline", process.trim())).is_ok_and(|line| line.starts_with(b"sleep"))
}

/// Waits until these engines are offered, and no others.
async fn until_offered(fake: &Fake, expected: &[&str]) {
    fake.until(&format!("the offer of {expected:?}"), |world| {
        let offered = world.offered.last()?;
        let names: Vec<&str> = offered.iter().map(|offer| offer.name.as_str()).collect();
        (names == expected).then_some(())
    })
    .await;
}

/// Waits until a file is there, and gives its text.
pub(super) async fn until_there(path: &Path) -> String {
    poll("a file", || fs::read_to_string(path).ok()).await
}

async fn poll<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_compiles_for_ever_is_in_no_other_ones_way() {
    let mill = Mill::stopped(counts()).await;
    let (folder, compiler) = (Folder::of(&mill), compiler(mill.dir()));
    let mill = mill.with_runtime(|runtime| runtime.compiler = compiler).started_with(folder.config());
    folder.drop_in("slow", &saying(SLOW));
    let slow = until_there(&mill.dir().join("slow")).await;
    folder.drop_in("good", &counts());
    until_offered(&mill.fake, &["good"]).await;
    folder.drop_in("good", &saying("replaced"));
    let replaced = Digest::of(&saying("replaced")).to_string();
    mill.fake
        .until("the replaced engine", |world| (world.offered.last()?.first()?.digest == replaced).then_some(()))
        .await;
    folder.remove("good");
    until_offered(&mill.fake, &[]).await;
    // All that while it compiled; now nobody wants it any more.
    assert!(compiles(&slow));
    folder.remove("slow");
    poll("the end of the compiler", || (!compiles(&slow)).then_some(())).await;
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_compile_for_ever_a_good_engine_gets_its_turn() {
    let mill = Mill::stopped(counts()).await;
    let (folder, compiler) = (Folder::of(&mill), compiler(mill.dir()));
    let mill = mill.with_runtime(|runtime| runtime.compiler = compiler).started_with(folder.config());
    let compilers = std::thread::available_parallelism().map_or(1, |cores| cores.get()) + 1;
    for n in 0..compilers + 2 {
        folder.drop_in(&format!("slow-{n}"), &saying(&format!("{SLOW}{n}")));
    }
    poll("all compilers", || (at_work(&mill) >= compilers).then_some(())).await;
    folder.drop_in("good", &counts());
    until_offered(&mill.fake, &["good"]).await;
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_code_is_cached_waits_for_no_compiler() {
    let mill = Mill::stopped(counts()).await;
    let (folder, compiler) = (Folder::of(&mill), compiler(mill.dir()));
    let (cache, key_file) = (mill.dir().join("compiled"), mill.dir().join("key"));
    let cache = CacheConfig { folder: cache, key_file, max_bytes: 1 << 30 };
    let earlier = RuntimeConfig { cache: Some(cache.clone()), ..RuntimeConfig::default() };
    Runtime::new(earlier).expect("a runtime").install(&counts()).expect("it is good");
    let mill = mill
        .with_runtime(|runtime| (runtime.compiler, runtime.cache) = (compiler, Some(cache)))
        .started_with(folder.config());
    // As many as may compile at once, each of them for ever.
    let compilers = std::thread::available_parallelism().map_or(1, |cores| cores.get()) + 1;
    for n in 0..compilers {
        folder.drop_in(&format!("slow-{n}"), &saying(&format!("{SLOW}{n}")));
    }
    poll("all compilers", || (at_work(&mill) >= compilers).then_some(())).await;
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    folder.drop_in("cached", &counts());
    until_offered(&mill.fake, &["cached"]).await;
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_refused_is_made_again_soon() {
    let mill = Mill::stopped(counts()).await;
    let folder = Folder::of(&mill);
    mill.fake.world(|world| world.refused_offers.insert("it".to_owned(), 2));
    let mill = mill.started_with(folder.config());
    folder.drop_in("it", &counts());
    mill.fake.until("an offer", |world| world.offered.last().map(|_| ())).await;
    let begun = Instant::now();
    let key = format!("engine/{}", Digest::of(&counts()));
    mill.fake.until("the stored component", |world| world.stored.get(&key).map(|_| ())).await;
    mill.fake.until("the offer of what is stored", |world| world.offered.last()?.first()?.stored.then_some(())).await;
    // One and two seconds at most, where it was told every twenty.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_take_no_place_from_good_ones() {
    let mill = Mill::stopped(counts()).await;
    let folder = Folder::of(&mill);
    for n in 0..100 {
        folder.drop_in(&format!("bad-{n}"), b"#!/bin/sh\n");
    }
    let mill = mill.started_with(folder.config());
    folder.drop_in("good", &counts());
    until_offered(&mill.fake, &["good"]).await;
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_limits_a_release_that_a_lease_had_brought_before() {
    let mill = Mill::stopped(counts()).await;
    let folder = Folder::of(&mill);
    let settings = folder.config();
    let mill = mill.started_with(|config| {
        settings(config);
        let default = config.limits.default.clone();
        let small = Limits { log_lines: 0, ..default };
        config.limits.by_release.insert("local/small".to_owned(), small);
    });
    let outcome = async |seed| {
        let sent = mill.upload(&[noise(100, seed)]).seal(&mill.fake);
        sent.offer(&mill.fake);
        mill.result(&sent, 0).await.outcome
    };
    assert_eq!(outcome(1).await, Outcome::Succeeded);
    folder.drop_in("small", &counts());
    until_offered(&mill.fake, &["small"]).await;
    assert_eq!(outcome(2).await, Outcome::OverLog);
    // What is in flight when the file goes is still called so.
    folder.remove("small");
    until_offered(&mill.fake, &[]).await;
    assert_eq!(outcome(3).await, Outcome::OverLog);
    mill.end().await;
}
