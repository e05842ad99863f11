;; Returns {"a":[[[…]]]}, 5,000 lists deep.
(data (i32.const 4096) "{\"a\":")
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (memory.fill (i32.const 4101) (i32.const 91) (i32.const 5000))
  (memory.fill (i32.const 9101) (i32.const 93) (i32.const 5000))
  (i32.store8 (i32.const 14101) (i32.const 125))
  (call $report (i32.const 4096) (i32.const 10006)))
