;; Finds something of the kind `image/svg+xml`.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (call $found (i32.const 264) (i32.const 13) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 288) (i32.const 2))
  (unreachable))
