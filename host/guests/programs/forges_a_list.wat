;; Returns a report that ends beyond its memory.
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $report (i32.const 2097150) (i32.const 100)))
