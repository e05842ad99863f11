;; Returns {"a":"…"} of 2,000 bytes.
(data (i32.const 1024) "{\"a\":\"")
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (memory.fill (i32.const 1030) (i32.const 120) (i32.const 1992))
  (i32.store16 (i32.const 3022) (i32.const 32034)) ;; "}
  (call $report (i32.const 1024) (i32.const 2000)))
