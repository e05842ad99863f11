;; Asks an empty set for ever whether there is something.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (local $empty i32)
  (local.set $empty (call $set_new))
  (loop $more
    (drop (call $set_poll (local.get $empty) (i32.const 16)))
    (br $more))
  (unreachable))
