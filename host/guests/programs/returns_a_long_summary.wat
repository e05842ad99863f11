;; A summary of 600 bytes.
(data (i32.const 1024) "{}")
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (memory.fill (i32.const 4096) (i32.const 120) (i32.const 600))
  (drop (call $report (i32.const 1024) (i32.const 2)))
  (i32.store (i32.const 36) (i32.const 4096))
  (i32.store (i32.const 40) (i32.const 600))
  (i32.const 32))
