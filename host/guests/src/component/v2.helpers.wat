;; What each guest of contract 2 begins with. Below 1024 lies what it uses: results of the host at 16, the description at 64,
;; an artifact's parameters at 224.
(import "host" "ended" (func $ended (param i32 i32)))
(import "host" "start_ended" (func $start_ended (param i32 i32) (result i32)))
(import "host" "read_at" (func $read_at (param i32 i64 i64 i32)))
(import "host" "size" (func $size (param i32) (result i64)))
(import "host" "hash" (func $hash (param i32 i32 i32)))
(import "host" "digest" (func $digest (param i32 i32 i32)))
(import "host" "found" (func $found (param i32 i32 i32 i32 i32 i32 i32)))
(import "host" "artifact" (func $artifact (param i32 i32 i32 i32 i32)))
(import "host" "start_artifact" (func $start_artifact_at (param i32) (result i32)))
(import "host" "log" (func $log (param i32 i32 i32)))
(import "host" "progress" (func $progress (param i32)))
(import "host" "fail" (func $give_up (param i32 i32)))
(import "host" "drop_input" (func $drop_input (param i32)))
(import "host" "stream_new" (func $stream_new (result i64)))
(import "host" "stream_read" (func $stream_read (param i32 i32 i32) (result i32)))
(import "host" "stream_write" (func $stream_write (param i32 i32 i32) (result i32)))
(import "host" "cancel_read" (func $cancel_read (param i32) (result i32)))
(import "host" "cancel_write" (func $cancel_write (param i32) (result i32)))
(import "host" "drop_readable" (func $drop_readable (param i32)))
(import "host" "drop_writable" (func $drop_writable (param i32)))
(import "host" "future_new" (func $future_new (result i64)))
(import "host" "set_new" (func $set_new (result i32)))
(import "host" "set_wait" (func $set_wait (param i32 i32) (result i32)))
(import "host" "set_poll" (func $set_poll (param i32 i32) (result i32)))
(import "host" "set_drop" (func $set_drop (param i32)))
(import "host" "join" (func $join (param i32 i32)))
(import "host" "subtask_cancel" (func $subtask_cancel (param i32) (result i32)))
(import "host" "subtask_drop" (func $subtask_drop (param i32)))
(import "host" "task_return" (func $task_return (param i32 i32 i32 i32 i32)))
(import "host" "backpressure_inc" (func $backpressure_inc))
(import "host" "yield" (func $yield (result i32)))
(import "allocator" "memory" (memory 0))
(import "allocator" "heap" (global $heap (mut i32)))

{access}

(data (i32.const 64) "\80\00\00\00\05\00\00\00\88\00\00\00\05\00\00\00\90\00\00\00\15\00\00\00")
(data (i32.const 128) "guest\00\00\001.0.0\00\00\00A guest of the tests.")
(data (i32.const 200) "no luck\1b[2J")
(data (i32.const 256) "plot.svg")
(data (i32.const 264) "image/svg+xml")
(data (i32.const 288) "{}")

;; What `analyze` and its callback return: that the task is done, that it would go on, that it waits for something in a set.
(global $exit i32 (i32.const 0))
(global $go_on i32 (i32.const 1))
(func $wait_for (param $set i32) (result i32) (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))

;; The set in which this guest blocks.
(global $set (mut i32) (i32.const 0))
(func $wait (param $waitable i32)
  (if (i32.eqz (global.get $set)) (then (global.set $set (call $set_new))))
  (call $join (local.get $waitable) (global.get $set))
  (drop (call $set_wait (global.get $set) (i32.const 16)))
  (call $join (local.get $waitable) (i32.const 0)))

;; Reads from or writes to a stream, and waits until that is done. Gives the bytes' number times 16, plus 1 where the other
;; end was dropped.
(func $read (param $stream i32) (param $at i32) (param $len i32) (result i32)
  (local $done i32)
  (local.set $done (call $stream_read (local.get $stream) (local.get $at) (local.get $len)))
  (if (result i32) (i32.eq (local.get $done) (i32.const -1))
    (then (call $wait (local.get $stream)) (i32.load (i32.const 20)))
    (else (local.get $done))))
(func $write (param $stream i32) (param $at i32) (param $len i32) (result i32)
  (local $done i32)
  (local.set $done (call $stream_write (local.get $stream) (local.get $at) (local.get $len)))
  (if (result i32) (i32.eq (local.get $done) (i32.const -1))
    (then (call $wait (local.get $stream)) (i32.load (i32.const 20)))
    (else (local.get $done))))

;; A new stream's ends.
(func $readable (param $stream i64) (result i32) (i32.wrap_i64 (local.get $stream)))
(func $writable (param $stream i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get $stream) (i64.const 32))))

;; Hands out an artifact that is called as said, from the stream's readable end. Gives the call's state, and its subtask times
;; 16.
(func $start_artifact_called (param $name i32) (param $name_len i32) (param $data i32) (result i32)
  (i32.store (i32.const 224) (local.get $name))
  (i32.store (i32.const 228) (local.get $name_len))
  (i32.store (i32.const 232) (i32.const 264))
  (i32.store (i32.const 236) (i32.const 13))
  (i32.store (i32.const 240) (local.get $data))
  (call $start_artifact_at (i32.const 224)))
(func $start_artifact (param $data i32) (result i32)
  (call $start_artifact_called (i32.const 256) (i32.const 8) (local.get $data)))

;; Returns a report without a summary; the one that is `{}`; a failure (0 unsupported, 1 malformed, 2 failed).
(func $report (param $json i32) (param $json_len i32)
  (call $task_return (i32.const 0) (i32.const 0) (i32.const 0) (local.get $json) (local.get $json_len)))
(func $report_nothing (call $report (i32.const 288) (i32.const 2)))
(func $fail (param $case i32)
  (call $task_return (i32.const 1) (local.get $case) (i32.const 200) (i32.const 11) (i32.const 0)))
