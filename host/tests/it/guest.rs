//! Turns the texts of `tests/guests` into components of contract 1.
//!
//! A guest is a few fields of a core module. What it does not define itself it gets from here: a good `describe`, an
//! `analyze` that gives up, and names for what the host offers. Memory and allocator are in a module of their own, since
//! the host's functions need them before the guest's module can have those functions. A guest whose first lines say so
//! (`;; memory: 64`, pages of 64 KiB; `;; allocator: forged`) gets others.

/// A component around two core modules: what `wit-component` would make of them, in its own text.
const COMPONENT: &str = r#"
(component
  (import "filemill:engine/types@1.0.0" (instance $types
    (type $x (enum "streaming" "seekable"))
    (export "access" (type $access (eq $x)))
    (type $d (record (field "name" string) (field "version" string) (field "summary" string)
      (field "media-types" (list string)) (field "access" $access) (field "parameter-schema" string)
      (field "report-schema" string)))
    (export "description" (type (eq $d)))
    (type $f (record (field "name" string) (field "size" u64)))
    (export "file" (type (eq $f)))
    (type $a (record (field "name" string) (field "media-type" string) (field "data" (list u8))))
    (export "artifact" (type $artifact (eq $a)))
    (type $r (record (field "summary" string) (field "json" string) (field "artifacts" (list $artifact))))
    (export "report" (type (eq $r)))
    (type $e (variant (case "unsupported" string) (case "malformed" string) (case "failed" string)))
    (export "failure" (type (eq $e)))))
  (alias export $types "description" (type $description))
  (alias export $types "file" (type $file))
  (alias export $types "report" (type $report))
  (alias export $types "failure" (type $failure))

  (import "filemill:engine/host@1.0.0" (instance $host
    (type $l (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (type $e (variant (case "void" string) (case "cancelled") (case "other" string)))
    (export "input-error" (type $input-error (eq $e)))
    (type $h (enum "sha256" "blake3"))
    (export "hash-algorithm" (type $algorithm (eq $h)))
    (export "input" (type $input (sub resource)))
    (export "[method]input.read" (func (param "self" (borrow $input)) (param "max" u64)
      (result (result (list u8) (error $input-error)))))
    (export "[method]input.read-at" (func (param "self" (borrow $input)) (param "offset" u64) (param "max" u64)
      (result (result (list u8) (error $input-error)))))
    (export "[method]input.size" (func (param "self" (borrow $input)) (result u64)))
    (export "[method]input.hash" (func (param "self" (borrow $input)) (param "algorithm" $algorithm)
      (result (result (error $input-error)))))
    (export "[method]input.digest" (func (param "self" (borrow $input)) (param "algorithm" $algorithm)
      (result (result (list u8) (error $input-error)))))
    (export "log" (func (param "level" $level) (param "message" string)))
    (export "progress" (func (param "per-mille" u32)))
    (export "fail" (func (param "message" string)))))
  (alias export $host "input" (type $input))

  (core module $allocator
    (memory (export "memory") {pages})
    (global $heap (export "heap") (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32) {realloc}))
  (core instance $allocator (instantiate $allocator))
  (alias core export $allocator "memory" (core memory $memory))
  (alias core export $allocator "realloc" (core func $realloc))

  (core func $read (canon lower (func $host "[method]input.read") (memory $memory) (realloc $realloc)))
  (core func $read_at (canon lower (func $host "[method]input.read-at") (memory $memory) (realloc $realloc)))
  (core func $size (canon lower (func $host "[method]input.size")))
  (core func $hash (canon lower (func $host "[method]input.hash") (memory $memory) (realloc $realloc)))
  (core func $digest (canon lower (func $host "[method]input.digest") (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core func $fail (canon lower (func $host "fail") (memory $memory)))
  (core func $progress (canon lower (func $host "progress")))
  (core func $drop_input (canon resource.drop $input))
  (type $own (resource (rep i32)))
  (core func $new_handle (canon resource.new $own))
  (core module $guest {guest})
  (core instance $guest (instantiate $guest
    (with "allocator" (instance $allocator))
    (with "host" (instance
      (export "read" (func $read))
      (export "read_at" (func $read_at))
      (export "size" (func $size))
      (export "hash" (func $hash))
      (export "digest" (func $digest))
      (export "log" (func $log))
      (export "fail" (func $fail))
      (export "progress" (func $progress))
      (export "drop_input" (func $drop_input))
      (export "new_handle" (func $new_handle))))))

  (func $describe (result $description)
    (canon lift (core func $guest "describe") (memory $memory) (realloc $realloc)))
  (func $analyze (param "file" $file) (param "input" (own $input)) (param "parameters" string)
    (result (result $report (error $failure)))
    (canon lift (core func $guest "analyze") (memory $memory) (realloc $realloc)))
  (instance $analyzer (export "describe" (func $describe)) (export "analyze" (func $analyze)))
  (export "filemill:engine/analyzer@1.0.0" (instance $analyzer)))
"#;

/// Gives the next bytes of the memory, and gives up beyond its end.
const BUMP: &str = "
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get 3)))
  (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))) (then unreachable))
  (local.get $at)";

/// Gives the host a place to write to that is not in the memory.
const FORGED: &str = "(i32.const 0x7ffffff0)";

/// Below 1024 lies what these use: what `read` returns at 16, the result at 32, the description at 64.
const HELPERS: &str = r#"
(import "host" "read" (func $read (param i32 i64 i32)))
(import "host" "drop_input" (func $drop_input (param i32)))
(import "host" "new_handle" (func $new_handle (param i32) (result i32)))
(import "host" "read_at" (func $read_at (param i32 i64 i64 i32)))
(import "host" "size" (func $size (param i32) (result i64)))
(import "host" "hash" (func $hash (param i32 i32 i32)))
(import "host" "digest" (func $digest (param i32 i32 i32)))
(import "host" "log" (func $log (param i32 i32 i32)))
(import "host" "fail" (func $give_up (param i32 i32)))
(import "host" "progress" (func $progress (param i32)))
(import "allocator" "memory" (memory 0))
(import "allocator" "heap" (global $heap (mut i32)))

;; Forgets all that was allocated.
(func $reset (global.set $heap (i32.const 65536)))

(data (i32.const 64) "\80\00\00\00\05\00\00\00\88\00\00\00\05\00\00\00\90\00\00\00\15\00\00\00")
(data (i32.const 128) "guest\00\00\001.0.0\00\00\00A guest of the tests.")
(data (i32.const 200) "no luck\1b[2J")

;; The result that is a report without a summary.
(func $report (param $json i32) (param $json_len i32) (result i32)
  (i32.store (i32.const 32) (i32.const 0))
  (i64.store (i32.const 36) (i64.const 0))
  (i32.store (i32.const 44) (local.get $json))
  (i32.store (i32.const 48) (local.get $json_len))
  (i64.store (i32.const 52) (i64.const 0))
  (i32.const 32))

;; The result that is a failure: 0 unsupported, 1 malformed, 2 failed.
(func $fail (param $case i32) (result i32)
  (i32.store (i32.const 32) (i32.const 1))
  (i32.store (i32.const 36) (local.get $case))
  (i32.store (i32.const 40) (i32.const 200))
  (i32.store (i32.const 44) (i32.const 11))
  (i32.const 32))
"#;

/// What a guest that does not define them exports.
const DEFAULTS: [(&str, &str); 2] = [
    ("describe", r#"(func (export "describe") (result i32) (i32.const 64))"#),
    ("analyze", r#"(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32) unreachable)"#),
];

/// A guest of `tests/guests`, by its file name, as a component.
macro_rules! guest {
    ($name:ident) => {
        $crate::guest::component(include_str!(concat!("../guests/", stringify!($name), ".wat")))
    };
}
pub(crate) use guest;

/// A component of contract 1.0.0 around the text of a guest.
pub(crate) fn component(guest: &str) -> Vec<u8> {
    text(&component_text(guest))
}

/// The same, built for another version of the contract.
pub(crate) fn component_for(contract: &str, guest: &str) -> Vec<u8> {
    text(&component_text(guest).replace("@1.0.0\"", &format!("@{contract}\"")))
}

fn component_text(guest: &str) -> String {
    let directive =
        |name: &str| guest.lines().find_map(|line| line.strip_prefix(";; ")?.strip_prefix(name)?.strip_prefix(": "));
    let realloc = match directive("allocator") {
        Some("forged") => FORGED,
        Some(other) => panic!("there is no allocator `{other}`"),
        None => BUMP,
    };
    let defaults: String = DEFAULTS
        .iter()
        .filter(|(name, _)| !guest.contains(&format!("(export \"{name}\")")))
        .map(|(_, field)| *field)
        .collect();
    COMPONENT
        .replace("{pages}", directive("memory").unwrap_or("32"))
        .replace("{realloc}", realloc)
        .replace("{guest}", &format!("{HELPERS} {defaults} {guest}"))
}

/// A component from its own text.
pub(crate) fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap_or_else(|error| panic!("the text is not valid: {error}"))
}
