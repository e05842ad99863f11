;; Begins to read from a stream from which it is reading.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (local $end i32)
  (local.set $end (call $readable (call $stream_new)))
  (drop (call $stream_read (local.get $end) (i32.const 1024) (i32.const 1)))
  (drop (call $stream_read (local.get $end) (i32.const 1024) (i32.const 1)))
  (unreachable))
