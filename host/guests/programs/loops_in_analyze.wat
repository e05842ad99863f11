;; Never returns.
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (loop $for_ever (br $for_ever))
  (unreachable))
