;; Makes handles of a resource of its own, for ever.
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (loop $more
    (drop (call $new_handle (i32.const 0)))
    (br $more))
  (unreachable))
