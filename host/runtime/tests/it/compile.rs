//! Compiling in a process of its own.

use std::time::{Duration, Instant};
use std::{fs, thread};

use bytes::Bytes;
use filemill_runtime::{
    Again, Cancel, Compiler, CompilerProcess, InstallError, Outcome, ReleaseDigest, Runtime, RuntimeConfig,
};

use crate::harness::{job, limits};
use filemill_guests::{component, guest, text};

fn process() -> CompilerProcess {
    CompilerProcess::new(env!("CARGO_BIN_EXE_filemill-compiler"), ["compile"])
}

fn install(process: CompilerProcess, component: &[u8]) -> Result<filemill_runtime::Release, InstallError> {
    let config = RuntimeConfig { slots: 1, compiler: Compiler::Child(process), ..RuntimeConfig::default() };
    Runtime::new(config).expect("the runtime starts").install(component)
}

#[test]
fn what_the_child_compiles_runs() {
    let release = install(process(), &guest!(counts)).expect("it installs");
    let run = release.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
    assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
}

/// One function of many blocks, each of which may be reached from every other: minutes of work for a compiler.
fn bomb() -> Vec<u8> {
    const BLOCKS: usize = 6_000;
    const LOCALS: usize = 2_000;
    let mut body = "(local i32)".repeat(LOCALS);
    for _ in 0..BLOCKS {
        body.push_str("(block ");
    }
    let targets: String = (0..BLOCKS).map(|target| format!(" {target}")).collect();
    body.push_str(&format!("(br_table{targets} (local.get 0)) "));
    for block in 0..BLOCKS {
        let local = block % LOCALS;
        body.push_str(&format!("(local.set {local} (i32.add (local.get {}) (local.get 1)))", (local * 7 + 1) % LOCALS));
        body.push_str(&format!("(br_if {} (local.get {local}))", block / 2));
        body.push(')');
    }
    component(&format!("(func (export \"bomb\") (param i32) {body})"))
}

#[test]
fn a_compile_bomb_is_killed_at_its_deadline() {
    let component = bomb();
    let mut wall_time = Duration::from_millis(300);
    let begun = Instant::now();
    let error = loop {
        let error = install(CompilerProcess { wall_time, ..process() }, &component).expect_err("it takes longer");
        // Where other tests have the machine for so long, nothing is said of the component.
        let starved =
            matches!(&error, InstallError::CompilerFailed { reason } if reason.contains("other things to do"));
        if !starved || wall_time > Duration::from_secs(4) {
            break error;
        }
        wall_time *= 2;
    };
    assert!(matches!(&error, InstallError::CompileDeadline { limit } if limit.contains("on the clock")), "{error}");
    assert_eq!(error.again(), Again::FewTimes, "a busy machine has the same effect");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_compiler_that_nobody_waits_for_is_ended() {
    let config = RuntimeConfig { slots: 1, compiler: Compiler::Child(process()), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("the runtime starts");
    let (component, cancel) = (bomb(), Cancel::default());
    let begun = Instant::now();
    cancel.cancel();
    let error = runtime.compile(ReleaseDigest::of(&component), &component, &cancel).expect_err("it was called off");
    assert!(matches!(error, InstallError::Cancelled), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_compiler_goes_before_the_processor_where_memory_ends() {
    let config = RuntimeConfig { slots: 1, compiler: Compiler::Child(process()), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("the runtime starts");
    let (component, cancel) = (bomb(), Cancel::default());
    let until = Instant::now() + Duration::from_secs(20);
    let called_off = cancel.clone();
    let error = thread::scope(|scope| {
        let compiling = scope
            .spawn(|| runtime.compile(ReleaseDigest::of(&component), &component, &called_off).expect_err("called off"));
        while !children().iter().any(|child| first_to_go(child)) {
            assert!(Instant::now() < until, "no compiler gives way");
            thread::yield_now();
        }
        cancel.cancel();
        compiling.join().expect("it does not panic")
    });
    assert!(matches!(error, InstallError::Cancelled), "{error}");
}

/// Process ids of this process's children.
fn children() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").expect("the threads").flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children.flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn first_to_go(process: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/oom_score_adj")).is_ok_and(|score| score.trim() == "1000")
}

#[test]
fn a_compile_bomb_ends_at_its_cpu_time_and_at_its_memory() {
    let component = bomb();
    let cpu = CompilerProcess { cpu_time: Duration::from_secs(1), ..process() };
    let error = install(cpu, &component).expect_err("it takes longer");
    assert!(matches!(&error, InstallError::CompileLimit { limit } if limit.contains("CPU time")), "{error}");
    assert_eq!(error.again(), Again::Never);

    let memory = CompilerProcess { memory_bytes: 24 << 20, ..process() };
    let error = install(memory, &component).expect_err("it takes more");
    assert!(matches!(&error, InstallError::CompileLimit { limit } if limit.contains("memory")), "{error}");
}

/// A component that holds itself twice, thirty times over: a kilobyte that is a thousand million instances.
fn nested() -> Vec<u8> {
    let mut text = String::from("(component (component $c0 (core module $m) (core instance (instantiate $m)))");
    for level in 0..30 {
        let twice = "(instance (instantiate $c))".repeat(2);
        text.push_str(&format!("(component $c{} (alias outer 1 $c{level} (component $c)) {twice})", level + 1));
    }
    text.push_str("(instance (instantiate $c30)) (instance $a)");
    text.push_str("(export \"filemill:engine/analyzer@1.0.0\" (instance $a)))");
    filemill_guests::text(&text)
}

#[test]
fn components_that_hold_each_other_without_end_are_not_unfolded() {
    let component = nested();
    let small = CompilerProcess { cpu_time: Duration::from_secs(2), memory_bytes: 256 << 20, ..process() };
    let begun = Instant::now();
    let error = install(small, &component).expect_err("nobody has so many instances");
    let told = matches!(error, InstallError::CompileLimit { .. } | InstallError::Malformed { .. });
    assert!(told, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_component_that_is_invalid_is_refused_with_the_compilers_reason() {
    let component = component("(func (export \"f\") (result i32) (i32.const 1))");
    // A valid component whose core module has a type error: an i32.const becomes an i64.const.
    let at = component.windows(3).position(|bytes| bytes == [0x41, 0x01, 0x0b]).expect("the function is there");
    let mut broken = component;
    broken[at] = 0x42;
    let error = install(process(), &broken).expect_err("it is invalid");
    assert!(matches!(&error, InstallError::Malformed { reason } if reason.contains("type mismatch")), "{error}");
}

#[test]
fn a_component_whose_fault_takes_long_to_tell_is_refused_like_any_other() {
    // The compiler quotes the name, which is not valid; more of it than a pipe holds.
    let name = "Not_A_Name-".repeat(20_000);
    let component = text(&format!(
        r#"(component
             (instance $a)
             (export "filemill:engine/analyzer@1.0.0" (instance $a))
             (export "{name}" (instance $a)))"#
    ));
    let error = install(process(), &component).expect_err("it is invalid");
    assert!(matches!(&error, InstallError::Malformed { reason } if reason.len() < 5_000), "{error}");
}

#[test]
fn a_compiler_that_cannot_be_started_is_the_hosts_fault() {
    let error = install(CompilerProcess::new("/nonexistent/compiler", [""; 0]), &guest!(counts)).expect_err("no code");
    assert!(matches!(error, InstallError::CompilerFailed { .. }), "{error}");
    assert_eq!(error.again(), Again::Later);
}

#[test]
fn a_compiler_that_somebody_ends_is_tried_again_a_few_times() {
    // SIGKILL is what a machine without memory sends.
    for signal in ["SEGV", "KILL", "ABRT"] {
        let shot = CompilerProcess::new("/bin/sh", ["-c", &format!("kill -{signal} $$")]);
        let error = install(shot, &guest!(counts)).expect_err("no code");
        assert!(matches!(error, InstallError::CompilerDied { .. }), "{error}");
        assert_eq!(error.again(), Again::FewTimes);
    }
}

#[test]
fn a_compiler_that_is_hardly_let_run_says_nothing_of_the_component() {
    let waits = CompilerProcess::new("/bin/sh", ["-c", "exec tail -f /dev/null"]);
    let starved = CompilerProcess { wall_time: Duration::from_millis(300), ..waits };
    let error = install(starved, &guest!(counts)).expect_err("it waits for ever");
    assert_eq!(error.again(), Again::Later, "{error}");
    assert!(error.to_string().contains("other things to do"), "{error}");
}

#[test]
fn more_code_than_a_component_may_come_to_is_a_limit() {
    let wordy = CompilerProcess::new("/bin/sh", ["-c", "head -c 17000000 /dev/zero"]);
    let error = install(wordy, &guest!(counts)).expect_err("too much code");
    assert!(matches!(&error, InstallError::CompileLimit { limit } if limit == "16 MiB of code"), "{error}");
}
