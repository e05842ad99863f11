;; Fills all its memory, again and again.
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 7) (i32.const 2031616))
    (br $again))
  (unreachable))
