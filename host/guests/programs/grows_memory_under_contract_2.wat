;; Asks for 1 MiB after another, whatever the answer.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (loop $more
    (drop (memory.grow (i32.const 16)))
    (br $more))
  (unreachable))
