;; Begins an artifact that is called `../x`.
;; contract: 2
(data (i32.const 1024) "../x")
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (drop (call $start_artifact_called (i32.const 1024) (i32.const 4) (call $readable (call $stream_new))))
  (unreachable))
