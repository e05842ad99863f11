;; Makes streams for ever.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (loop $more
    (drop (call $stream_new))
    (br $more))
  (unreachable))
