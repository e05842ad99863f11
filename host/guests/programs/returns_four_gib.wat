;; Returns a report of 4 GiB less a byte, which nobody has.
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $report (i32.const 0) (i32.const -1)))
