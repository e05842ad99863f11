;; Returns valid JSON that is not an object.
(data (i32.const 1024) "[1, 2]")
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $report (i32.const 1024) (i32.const 6)))
