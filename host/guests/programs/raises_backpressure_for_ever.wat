;; Says for ever that it can take no more calls.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (loop $more
    (call $backpressure_inc)
    (br $more))
  (unreachable))
