;; Returns with 100 handles of its own and the input's, none of them dropped.
(data (i32.const 1024) "{}")
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (local $handles i32)
  (loop $more
    (drop (call $new_handle (i32.const 0)))
    (local.set $handles (i32.add (local.get $handles) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $handles) (i32.const 100))))
  (call $report (i32.const 1024) (i32.const 2)))
