;; Begins two artifacts that are called alike.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (drop (call $start_artifact (call $readable (call $stream_new))))
  (drop (call $start_artifact (call $readable (call $stream_new))))
  (unreachable))
