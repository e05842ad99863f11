;; Returns a report that is not UTF-8.
(data (i32.const 1024) "{\"a\":\"\ff\"}")
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $report (i32.const 1024) (i32.const 9)))
