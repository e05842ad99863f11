;; Finds things with 500 bytes to say about each, for ever.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (memory.fill (i32.const 1024) (i32.const 120) (i32.const 500))
  (loop $more
    (call $found (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 1024) (i32.const 500) (i32.const 288) (i32.const 2))
    (br $more))
  (unreachable))
