;; Reports without a look at the file.
(data (i32.const 1024) "{}")
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $report (i32.const 1024) (i32.const 2)))
