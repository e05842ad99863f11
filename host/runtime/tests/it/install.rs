//! Components that cannot be installed, and what their author is told.

use filemill_runtime::{InstallError, Runtime, RuntimeConfig, contract_versions};

use crate::harness::{job, limits, resident_kib, runtime};
use filemill_guests::{Guest, component_for, guest, text};

#[track_caller]
fn refused(component: &[u8]) -> InstallError {
    let error = runtime().install(component).expect_err("it is refused");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn a_good_component_names_its_contract_and_digest() {
    let component = guest!(counts);
    let release = runtime().install(&component).expect("it is good");
    assert_eq!(release.contract().to_string(), "1.0.0");
    assert_eq!(release.contract().major(), 1);
    assert_eq!(release.digest(), filemill_runtime::ReleaseDigest::of(&component));
    assert_eq!(contract_versions().map(|version| version.to_string()).collect::<Vec<_>>(), ["1.0.0", "2.0.0"]);
}

#[test]
fn an_unknown_major_says_what_it_wants_what_runs_here_and_what_to_do() {
    let error = refused(&text(
        r#"(component
             (instance $a)
             (export "filemill:engine/analyzer@3.0.0" (instance $a)))"#,
    ));
    assert_eq!(error.to_string(), "the component needs engine contract 3.0.0, this processor runs 1.0.0 and 2.0.0");
    assert_eq!(error.hint(), "update the processor, or adopt an older release");
}

#[test]
fn a_component_for_several_majors_runs_as_the_newest_that_is_known_here() {
    let error = refused(&text(
        r#"(component
             (instance $a)
             (export "filemill:engine/analyzer@3.0.0" (instance $a))
             (export "filemill:engine/analyzer@1.0.0" (instance $a)))"#,
    ));
    // It went on to contract 1, and failed there for having no functions.
    let expected = "the component does not fit engine contract 1.0.0";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn what_is_no_engine_is_told_what_it_exports() {
    let error = refused(&text(
        r#"(component
             (instance $a)
             (export "wasi:cli/run@0.2.0" (instance $a)))"#,
    ));
    assert_eq!(
        error.to_string(),
        "the component is no engine: it exports `wasi:cli/run@0.2.0`, not `filemill:engine/analyzer`"
    );
    assert!(refused(&text("(component)")).to_string().contains("exports nothing"));
}

#[test]
fn imports_beside_the_contract_are_named() {
    let error = refused(&text(
        r#"(component
             (import "example:files/types@0.2.0" (instance))
             (import "filemill:engine/host@2.0.0" (instance))
             (import "filemill:engine/types@1.0.0" (instance))
             (instance $a)
             (export "filemill:engine/analyzer@1.0.0" (instance $a)))"#,
    ));
    assert_eq!(
        error.to_string(),
        "the component imports `example:files/types@0.2.0`, `filemill:engine/host@2.0.0`, \
         which is not in the engine contract"
    );
}

#[test]
fn a_function_that_this_host_does_not_have_yet_is_named() {
    let error = refused(&text(
        r#"(component
             (import "filemill:engine/host@1.9.0" (instance (export "read-minds" (func))))
             (instance $a)
             (export "filemill:engine/analyzer@1.9.0" (instance $a)))"#,
    ));
    assert!(matches!(error, InstallError::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("read-minds"), "{error}");
}

#[test]
fn a_component_for_a_newer_minor_that_needs_nothing_new_runs() {
    let component = component_for("1.7.3", Guest::Counts.text());
    let release = runtime().install(&component).expect("it can be installed");
    assert_eq!(release.contract().to_string(), "1.7.3");
    let run = release.run(&job(3), bytes::Bytes::from_static(b"abc"), &limits(), ());
    assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":3}"#);
}

#[test]
fn a_function_of_another_type_is_refused_before_it_runs() {
    let error = refused(&text(
        r#"(component
             (core module $m (func (export "f") (result i32) (i32.const 0)))
             (core instance $i (instantiate $m))
             (func $f (result u32) (canon lift (core func $i "f")))
             (instance $a (export "describe" (func $f)) (export "analyze" (func $f)))
             (export "filemill:engine/analyzer@1.0.0" (instance $a)))"#,
    ));
    let expected = "function `describe` in its `filemill:engine/analyzer@1.0.0` has another type";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn what_is_not_webassembly_is_called_that() {
    for bytes in [&b""[..], b"\0as", b"(component)", b"\x7fELF", &[0; 100]] {
        assert!(matches!(refused(bytes), InstallError::NotWasm), "{bytes:?}");
    }
}

#[test]
fn a_core_module_is_told_from_a_component() {
    assert!(matches!(refused(&text("(module)")), InstallError::CoreModule));
}

#[test]
fn a_component_cut_off_anywhere_never_installs() {
    let component = guest!(counts);
    let runtime = runtime();
    // After its exports come only names, which may be missing.
    let exports_begin = wasmparser::Parser::new(0)
        .parse_all(&component)
        .filter_map(|payload| match payload.expect("it is whole") {
            wasmparser::Payload::ComponentExportSection(section) => Some(section.range().start),
            _ => None,
        })
        .last()
        .expect("it has exports");
    for length in (4..exports_begin).step_by(7) {
        let error = runtime.install(&component[..length]).expect_err("it is cut off");
        // Cut between two sections, it is a shorter component without its exports.
        assert!(
            matches!(error, InstallError::Truncated { .. } | InstallError::NoContract { .. }),
            "{length} bytes: {error}"
        );
    }
}

#[test]
fn a_component_with_any_byte_changed_installs_or_is_refused_but_does_nothing_else() {
    let component = guest!(counts);
    let runtime = runtime();
    for at in (0..component.len()).step_by(11) {
        let mut changed = component.clone();
        changed[at] ^= 0x41;
        if let Err(error) = runtime.install(&changed) {
            assert!(error.to_string().len() < 8 << 10);
        }
    }
}

#[test]
fn a_component_over_the_size_limit_is_not_looked_at() {
    let runtime =
        Runtime::new(RuntimeConfig { component_bytes: 100, ..RuntimeConfig::default() }).expect("the runtime starts");
    let error = runtime.install(&[0; 101]).expect_err("it is too large");
    assert_eq!(error.to_string(), "the component has 101 bytes, this processor takes at most 100");
}

#[test]
fn a_component_of_a_gib_is_refused_before_a_byte_of_it_is_read() {
    // The kernel gives these pages when they are read.
    let component = vec![0_u8; 1 << 30];
    let before = resident_kib();
    let error = runtime().install(&component).expect_err("it is too large");
    assert!(matches!(error, InstallError::TooLarge { bytes: 0x4000_0000, .. }), "{error}");
    assert!(resident_kib() < before + (64 << 10), "it was read");
}

#[test]
fn more_memories_than_a_slot_has_are_refused_at_install() {
    let memories = "(memory 1)".repeat(9);
    let error = refused(&text(&format!(
        r#"(component
             (core module $m {memories})
             (core instance (instantiate $m))
             (instance $a)
             (export "filemill:engine/analyzer@1.0.0" (instance $a)))"#
    )));
    assert!(matches!(error, InstallError::TooDemanding { .. }), "{error}");
}

#[test]
fn more_memory_at_the_start_than_any_run_may_have_is_refused_at_install() {
    let runtime =
        Runtime::new(RuntimeConfig { maxima: limits(), ..RuntimeConfig::default() }).expect("the runtime starts");
    let error = runtime.install(&guest!(declares_much_memory)).expect_err("it is refused");
    assert!(matches!(error, InstallError::TooDemanding { .. }), "{error}");
    assert!(error.to_string().contains("minimum byte size of 134217728"), "{error}");
}

#[test]
fn more_core_instances_than_a_slot_has_are_refused_at_install() {
    let instances = "(core instance (instantiate $m))".repeat(100);
    let error = refused(&text(&format!(
        r#"(component
             (core module $m (memory 1))
             {instances}
             (instance $a)
             (export "filemill:engine/analyzer@1.0.0" (instance $a)))"#
    )));
    assert!(matches!(error, InstallError::TooDemanding { .. }), "{error}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let error = Runtime::new(RuntimeConfig { slots: 0, ..RuntimeConfig::default() }).expect_err("it needs a slot");
    assert_eq!(error.to_string(), "`slots` is out of range: at least 1");
}
