;; Begins an artifact whose name has 2 MiB.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (drop (call $start_artifact_called (i32.const 0) (i32.const 2097152) (call $readable (call $stream_new))))
  (unreachable))
