;; What each guest of contract 1 begins with. Below 1024 lies what it uses: what `read` returns at 16, the result at 32, the
;; description at 64.
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

{access}

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
