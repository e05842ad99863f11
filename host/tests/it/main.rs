//! The runtime with real components: good ones, hostile ones, and ones that are none.

mod cache;
mod compile;
mod describe;
mod guest;
mod harness;
mod hostile;
mod input;
mod install;
mod node;
mod run;

/// A guest that no test uses shows nothing.
#[test]
fn every_guest_has_a_test() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |folder: &str| std::fs::read_dir(here.join(folder)).expect("it is there");
    let paths = |folder| read(folder).map(|entry| entry.expect("readable").path());
    let tests: String = paths("it")
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).expect("readable"))
        .collect();
    for guest in paths("guests") {
        let name = guest.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(tests.contains(&format!("guest!({name})")), "`{}` has no test", guest.display());
    }
}
