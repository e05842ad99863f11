;; Makes and drops streams for ever.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (local $stream i64)
  (loop $more
    (local.set $stream (call $stream_new))
    (call $drop_readable (call $readable (local.get $stream)))
    (call $drop_writable (call $writable (local.get $stream)))
    (br $more))
  (unreachable))
