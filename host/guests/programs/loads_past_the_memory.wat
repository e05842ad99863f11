;; Loads from beyond its memory.
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (i32.load (i32.const 0x7fffffff)))
